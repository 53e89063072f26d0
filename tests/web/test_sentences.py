"""Every code that the product can store has a sentence, and every sentence can be made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo

from plugin import sentences
from plugin.sentences import REPAIRS, SENTENCES, VARIANTS, Counted, locale_of, repair, sentence, written_locale
from plugin.web.render import WAYS_OUT
from tests.web.conftest import Site

PLUGIN = Path(__file__).parents[2] / "plugin"
SOURCES = [path for path in PLUGIN.rglob("*.py") if path.name != "sentences.py" and "web" not in path.relative_to(PLUGIN).parts]
#: Words with a dot that are no codes: what follows is a column or a partner's field.
NOT_CODES = {"batch.id", "organisation.id", "portal.id", "xero.contact", "xero.credit_note", "xero.invoice", "xero_login.id"}


def _codes() -> set[str]:
    families = "|".join(sorted({code.partition(".")[0] for code in SENTENCES}))
    found = re.compile(rf'"((?:{families})\.[a-z0-9_]+)"')
    return {code for path in SOURCES for code in found.findall(path.read_text())} - NOT_CODES


def test_every_code_has_a_sentence() -> None:
    codes = _codes()
    assert len(codes) > 100
    assert codes <= set(SENTENCES), sorted(codes - set(SENTENCES))


@pytest.mark.parametrize("prefix", ["effect.", "reason.", "status.", "send.contact_"])
def test_codes_that_are_put_together_have_sentences_too(prefix: str) -> None:
    from plugin.domain.matching import MatchKind
    from plugin.domain.settings import STATUS_WORDS

    made = {
        "effect.": {"income_account", "expense_account", "start_date", "stage_to_status", "status_to_stage", "taxes", "sellers"},
        "reason.": {"number", "tax", "name", "similar_name", "email", "tax_differs", "url", "reference", "customer", "total", "currency", "date"},
        "status.": set(STATUS_WORDS),
        "send.contact_": set(get_args(MatchKind)) - {"linked_number", "single_name", "none"},
    }
    assert {f"{prefix}{name}" for name in made[prefix]} <= set(SENTENCES)


def test_every_sentence_can_be_made_without_parameters_and_leaves_no_holes() -> None:
    for code in SENTENCES:
        text = sentence(code.partition(":")[0], {}, "en")
        assert text
        assert not re.search(r"%\(|“”|\(\s*\)|  |\s[.,;]", text), (code, text)


def test_both_forms_of_a_counted_sentence_count() -> None:
    for code, text in SENTENCES.items():
        if isinstance(text, Counted):
            assert all("%(count)s" in form for form in text), code
    assert sentence("activity.batch_sent", {"count": 1}, "en").startswith("1 invoice was")
    assert sentence("activity.batch_sent", {"count": 2}, "en").startswith("2 invoices were")


def test_variants_and_ways_out_exist() -> None:
    assert {f"{code}:{name}" for code, names in VARIANTS.items() for name in names} <= set(SENTENCES)
    assert set(REPAIRS) <= set(SENTENCES)
    assert {action for _, action in REPAIRS.values()} <= set(WAYS_OUT)
    assert repair("portal.not_set_up", "en") == ("Finish the set-up", "setup")
    assert repair("send.no_rows", "en") is None


def test_an_unknown_code_is_shown_in_full() -> None:
    assert sentence("new.cause", {"a": 1, "b": "two"}, "en") == "new.cause a=1 b=two"


@pytest.mark.parametrize(
    ("code", "params", "words"),
    [
        ("notify.exported", {"succeeded": 3, "total": 3, "failed": 0, "number": 4}, "3 of 3 invoices exported"),
        ("notify.exported", {"succeeded": 2, "total": 3, "failed": 1, "number": 4}, "open batch 4"),
        ("send.tax_unmapped", {"rate": "none", "row": "Coffee"}, "no tax (line “Coffee”)"),
        ("send.locked", {"date": "2026-11-01", "lock": "2026-11-05"}, "Dated Nov 1, 2026"),
        ("activity.not_sent", {"problem": "send.no_rows", "details": {}}, "Not sent. The invoice has no products."),
        ("activity.status_changed", {"number": "INV-1", "before": "draft", "after": "part_paid", "due": "5.00"}, "now “Part paid”"),
        (
            "edit.conflict",
            {"differences": [{"field": "lines[2].quantity", "crm": "1", "xero": "3"}]},
            "Changed here and in Xero since the last transfer: line 3: quantity (here 1, in Xero 3)",
        ),
        ("edit.conflict", {"differences": [{"field": "line_amount_types", "crm": "a", "xero": "b"}], "first": True}, "It was in Xero before"),
        ("edit.paid", {"fields": ["due_date", "lines.unit_amount"]}, "due date, price"),
        ("xero.refused", {"messages": ["One.", "Two."]}, "Xero refused this: One; Two."),
        ("organisation.paused", {"until": "2026-11-21T10:05:00+00:00"}, "until 10:05"),
    ],
)
def test_parameters_read_like_words(code: str, params: dict[str, object], words: str) -> None:
    assert words in sentence(code, params, "en")


@pytest.mark.parametrize(
    ("lang", "locale"), [("en", "en"), ("la", "es"), ("br", "pt_BR"), ("ua", "uk"), ("sc", "zh_Hans_CN"), ("ar", "ar"), ("??", "en"), ("", "en")]
)
def test_bitrix24s_languages_are_known(lang: str, locale: str) -> None:
    assert locale_of(lang) == locale


def test_a_worker_speaks_english_unless_it_is_told_a_language(site: Site) -> None:
    assert sentence("send.no_rows") == "The invoice has no products. Add at least one."
    with site.app.app_context():
        assert sentence("send.no_rows") == sentence("send.no_rows", {}, "fr") == "The invoice has no products. Add at least one."
        assert sentence("organisation.paused", {"until": "2026-11-21T10:05:00+00:00"}).startswith("Xero pauses")


def test_a_translation_is_used_once_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert written_locale("kz") == "en"
    catalog = Catalog(locale="kk")
    catalog.add("The invoice has no products. Add at least one.", "…")
    folder = tmp_path / "kk" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    with (folder / "messages.mo").open("wb") as file:
        write_mo(file, catalog)
    monkeypatch.setattr(sentences, "TRANSLATIONS", tmp_path)
    _forget()
    assert sentence("send.no_rows", {}, "kz") == "…"
    assert sentence("send.deleted", {}, "kz") == "The invoice was deleted in Bitrix24."
    _forget()


def _forget() -> None:
    sentences.written_locale.cache_clear()
    sentences._loaded.cache_clear()
