"""The catalogues: every text that the source shows today stands in them, translated, with the same parameters."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

from launch.texts import find
from launch.tree import Tree
from plugin.sentences import TRANSLATIONS, locale_of, sentence, written_locale
from tests.web.conftest import Site

CATALOGUES = sorted(TRANSLATIONS.glob("*/LC_MESSAGES/messages.po"))


def read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=path.parts[-3])


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Every text of today's source, by what it is looked up with."""
    template = tmp_path_factory.mktemp("texts") / "messages.pot"
    assert find(Tree.here(), template) == 0
    with template.open("rb") as file:
        return {key(message) for message in read_po(file) if message.id}


def key(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[0]


def forms(message: Message) -> list[str]:
    return [message.string] if isinstance(message.string, str) else list(message.string)


def parameters(text: str) -> set[str]:
    return set(re.findall(r"%\((\w+)\)s", text))


def test_german_and_russian_are_there_and_compiled() -> None:
    assert {path.parts[-3] for path in CATALOGUES} >= {"de", "ru"}
    assert all(path.with_suffix(".mo").exists() for path in CATALOGUES)


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_a_catalogue_is_whole_and_keeps_every_parameter(path: Path) -> None:
    catalogue = read(path)
    assert len(catalogue) > 600
    for message in catalogue:
        if not message.id:
            continue
        assert not message.fuzzy, message.id
        assert len(forms(message)) == (catalogue.num_plurals if message.pluralizable else 1), message.id
        sources = [message.id] if isinstance(message.id, str) else list(message.id)
        allowed, needed = set.union(*map(parameters, sources)), set.intersection(*map(parameters, sources))  # "one" may leave its number out
        for text in forms(message):
            assert text.strip(), f"not translated: {message.id}"
            assert needed <= parameters(text) <= allowed, (message.id, text)
            assert text.count("%%") == str(message.id).count("%%"), (message.id, text)


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_every_text_of_the_source_stands_in_each_catalogue(path: Path, shown: set[str]) -> None:
    assert len(shown) > 600
    assert shown - {key(message) for message in read(path) if message.id} == set(), "run `make messages`, then translate"


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_a_translation_ends_as_its_source_does(path: Path) -> None:
    for message in read(path):
        if message.id and isinstance(message.id, str):
            assert (message.id[-1] in ".?:…") == (message.string[-1] in ".?:…"), (message.id, message.string)


@pytest.mark.parametrize(("lang", "words"), [("de", "keine Produkte"), ("ru", "нет товаров"), ("fr", "no products"), ("ua", "no products")])
def test_sentences_are_read_in_the_language_that_is_asked_for(lang: str, words: str) -> None:
    assert words in sentence("send.no_rows", {}, lang)


def test_counts_follow_the_grammar_of_the_language() -> None:
    said = [sentence("activity.batch_cancelled", {"count": count}, "ru") for count in (1, 3, 5)]
    assert [text.split(";")[1].split()[1] for text in said] == ["счёт", "счёта", "счетов"]


@pytest.mark.parametrize(("lang", "locale"), [("de", "de"), ("ru", "ru"), ("kz", "en"), ("sc", "en"), ("br", "en")])
def test_a_page_is_written_in_the_visitors_language_or_in_english(site: Site, lang: str, locale: str) -> None:
    page = site.client.get("/", query_string={"LANG": lang}).text
    assert f'<html lang="{locale}"' in page
    assert written_locale(lang) == locale
    assert locale_of(lang)
