"""Nobody without a pass, and no settings for anybody but administrators."""

from __future__ import annotations

import pytest
import time_machine
from werkzeug.routing import Rule

from plugin.domain.crm import Visitor
from plugin.usecases import NotHere, activity_log, open_app
from plugin.web.frame_pass import HEADER
from tests.web.conftest import SIONE, Site

FILLED: dict[str, object] = {
    "batch_id": 1,
    "crm_id": 1,
    "link_id": 1,
    "document": "invoice",
    "customer": "company",
    "customer_id": 1,
    "number": 1,
    "pair_id": 1,
    "failure_id": 1,
    "name": "numbers",
}


def _addresses(site: Site, prefix: str) -> list[tuple[str, str]]:
    """Method and address of every page below a prefix."""
    adapter = site.app.url_map.bind("app.test", "/")

    def methods(rule: Rule) -> set[str]:
        return (rule.methods or set()) - {"HEAD", "OPTIONS"}

    rules = [rule for rule in site.app.url_map.iter_rules() if rule.rule.startswith(prefix) and rule.endpoint != "public.renew_pass"]
    return [
        (method, adapter.build(rule.endpoint, {name: FILLED[name] for name in rule.arguments}, method=method))
        for rule in rules
        for method in sorted(methods(rule))
    ]


def test_there_are_pages_to_guard(site: Site) -> None:
    assert len(_addresses(site, "/app")) > 25
    assert len(_addresses(site, "/app/setup")) > 10


def test_without_a_pass_every_page_says_how_to_come_back(site: Site) -> None:
    for method, address in _addresses(site, "/app"):
        answer = site.client.open(address, method=method, headers={"HX-Request": "true"})
        assert answer.status_code == 401, address
        assert "Open the app again from Bitrix24" in answer.text


def test_with_a_forged_pass_too(site: Site) -> None:
    answer = site.client.get("/app/invoices", headers={HEADER: "forged", "HX-Request": "true"})
    assert answer.status_code == 401


def test_a_portal_that_is_gone_has_no_visitors(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise NotHere

    monkeypatch.setattr(open_app, "visitor", gone)
    assert site.get("/app/invoices").status_code == 401


def test_settings_are_for_administrators(site: Site) -> None:
    site.visitor = SIONE
    for method, address in _addresses(site, "/app/setup"):
        answer = site.client.open(address, method=method, headers=site.headers())
        assert answer.status_code == 403, address
        assert "administrator" in answer.text


def test_a_page_in_use_gets_a_new_pass_on_the_way(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity_log, "page", lambda *_: ((), 1))
    monkeypatch.setattr(activity_log, "people", lambda *_: ())
    with time_machine.travel("2026-11-21T09:00:00Z", tick=False) as clock:
        headers = site.headers()
        assert HEADER not in site.client.get("/app/activity", headers=headers).headers
        clock.shift(600)
        fresh = site.client.get("/app/activity", headers=headers).headers[HEADER]
        clock.shift(3500)
        assert site.client.get("/app/activity", headers={HEADER: fresh}).status_code == 200


def test_an_ended_pass_is_exchanged_only_for_the_same_person(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def renew(_services: object, *rest: object) -> Visitor:
        asked.append(rest)
        return site.visitor

    monkeypatch.setattr(open_app, "renew", renew)
    with time_machine.travel("2026-11-21T09:00:00Z", tick=False) as clock:
        headers = site.headers()
        clock.shift(3 * 3600)
        answer = site.client.post("/app/pass", headers=headers, data={"AUTH_ID": "fresh"})
        assert answer.status_code == 204
        assert site.passes.read(answer.headers[HEADER]).user_id == 7
    assert asked == [(1, 7, "en", "fresh")]
    assert site.client.post("/app/pass", data={"AUTH_ID": "fresh"}).status_code == 401
