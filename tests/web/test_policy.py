"""What every answer carries, and what no page contains."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plugin.bitrix24 import launch
from plugin.domain.problems import Problem
from plugin.usecases import activity_log, connect_xero, open_app, receive_webhooks
from plugin.usecases.connect_xero import Begun, Finished
from plugin.usecases.open_app import Opened
from plugin.usecases.shown import Told
from tests.web.conftest import MERE, Site

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
OPENING = {"AUTH_ID": "token", "member_id": "a" * 32, "PLACEMENT": "DEFAULT", "APP_SID": "sid"}
ADDRESS = "/bitrix24/app?DOMAIN=acme.bitrix24.test&PROTOCOL=1&LANG=de&APP_SID=sid"


def _opened(_services: object, claims: launch.Launch) -> Opened:
    return Opened(MERE, True, claims.placement, claims.options, claims.document_id)


@pytest.mark.parametrize("address", ["/bitrix24/install", "/bitrix24/app", "/bitrix24/placement", "/bitrix24/events", "/bitrix24/robot"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_who_comes_without_bitrix24_sees_a_neutral_page_that_nobody_may_frame(site: Site, address: str, method: str) -> None:
    answer = site.client.open(address, method=method)
    assert answer.status_code == 200
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in answer.headers


def test_the_opened_page_may_be_framed_by_the_visitors_portal_only(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_app, "opened", _opened)
    answer = site.client.post(ADDRESS, data=OPENING)
    policy = answer.headers["Content-Security-Policy"]
    assert "frame-ancestors https://acme.bitrix24.test;" in policy
    assert "unsafe" not in policy
    assert "script-src 'self';" in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert 'name="frame-pass"' in answer.text
    assert "Set-Cookie" not in answer.headers


def test_a_widget_on_an_invoice_starts_with_that_invoice(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_app, "opened", _opened)
    form = {**OPENING, "PLACEMENT": "CRM_SMART_INVOICE_DETAIL_TAB", "PLACEMENT_OPTIONS": '{"ID": "42"}'}
    assert 'hx-get="/app/cards/documents/invoice/42"' in site.client.post(ADDRESS.replace("/app?", "/placement?"), data=form).text
    toolbar = {**form, "PLACEMENT": "CRM_SMART_INVOICE_LIST_TOOLBAR"}
    assert 'hx-get="/app/"' in site.client.post(ADDRESS, data=toolbar).text


def test_a_refused_opening_is_a_sentence_and_no_pass(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> Opened:
        raise Problem("launch.wrong_portal")

    monkeypatch.setattr(open_app, "opened", refused)
    answer = site.client.post(ADDRESS.replace("LANG=de", "LANG=en"), data=OPENING)
    assert answer.status_code == 409
    assert "belongs to another portal" in answer.text
    assert "frame-pass" not in answer.text


def test_an_incomplete_opening_may_not_be_framed(site: Site) -> None:
    answer = site.client.post("/bitrix24/app", data={"AUTH_ID": "token"})
    assert answer.status_code == 409
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_failures_inside_the_frame_take_the_place_of_the_page(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("never shown")

    monkeypatch.setattr(activity_log, "page", broken)
    answer = site.get("/app/activity")
    assert answer.status_code == 500
    assert answer.headers["HX-Retarget"] == "#app"
    assert "never shown" not in answer.text
    assert "Something went wrong" in answer.text


def test_a_problem_offers_its_way_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise Problem("portal.not_set_up")

    monkeypatch.setattr(activity_log, "page", stopped)
    answer = site.get("/app/activity")
    assert answer.status_code == 409
    assert "Finish the set-up" in answer.text
    assert 'href="/app/setup"' in answer.text


def test_the_window_at_xero_gets_a_first_party_cookie(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect_xero, "begin", lambda *_: Begun("https://login.xero.test/authorize", "secret"))
    answer = site.client.get("/xero/connect?ticket=t")
    assert answer.location == "https://login.xero.test/authorize"
    cookie = answer.headers["Set-Cookie"]
    assert all(word in cookie for word in ("secret", "HttpOnly", "Secure", "SameSite=Lax", "Path=/xero/"))


@pytest.mark.parametrize(
    ("finished", "words"),
    [
        (Finished(None, "Kauri Trading"), "Connected to Kauri Trading. You can close this window."),
        (Finished(None, ""), "Choose the organisation in Bitrix24. You can close this window."),
        (Finished(Told("connect.refused")), "You did not allow access"),
    ],
)
def test_the_window_says_how_it_ended(site: Site, monkeypatch: pytest.MonkeyPatch, finished: Finished, words: str) -> None:
    monkeypatch.setattr(connect_xero, "finish", lambda *_: finished)
    answer = site.client.get("/xero/callback?code=1&state=2")
    assert words in answer.text
    assert ("Try again" in answer.text) == (finished.problem is not None)


def test_webhooks_are_answered_empty_and_without_cookies(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    def receive(_services: object, raw: bytes, signature: str | None) -> bool:
        seen.append(raw)
        return signature == "good"

    monkeypatch.setattr(receive_webhooks, "receive", receive)
    for signature, status in (("good", 200), ("bad", 401)):
        answer = site.client.post("/xero/webhooks", data=b'{"events": []} ', headers={"x-xero-signature": signature})
        assert (answer.status_code, answer.data) == (status, b"")
        assert "Set-Cookie" not in answer.headers
    assert seen == [b'{"events": []} '] * 2


def test_templates_are_short_and_have_nothing_inline(site: Site) -> None:
    assert len(TEMPLATES) > 30
    for path in TEMPLATES:
        text = path.read_text()
        assert text.count("\n") <= 80, path
        assert not re.search(r"\s(style|on[a-z]+)=", text), path
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style", text), path
        assert not re.search(r"hx-on|js:", text), path
        site.app.jinja_env.get_template(str(path.relative_to(ROOT / "templates")))


def test_every_icon_that_is_used_is_drawn() -> None:
    drawn = set(re.findall(r'<symbol id="([\w-]+)"', (ROOT / "static" / "icons.svg").read_text()))
    sources = [path.read_text() for path in [*TEMPLATES, ROOT / "plugin" / "web" / "words.py"]]
    used = {name for text in sources for name in re.findall(r"icon\('([\w-]+)'|symbol='([\w-]+)'|Chip\(\"\w+\", \"([\w-]+)\"", text) for name in name if name}
    assert used <= drawn, used - drawn
