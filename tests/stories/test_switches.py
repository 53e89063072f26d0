"""RULES 38: whatever the references leave open may be either way, and the main story passes all the same."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import requests

from sandbox.bitrix24.switches import FACTS
from sandbox.serve import Sandbox
from sandbox.xero.switches import ALL
from tests.stories.main_story import tell
from tests.stories.office import HARBOUR_ORGANISATION, Office, Person

#: Positions in which Xero itself says no before anything can be sent; see the tests below the matrix.
CLOSED = {("tier", "full"), ("uncertified_apps", "two_already"), ("pkce_on_web_app", "refused"), ("limit_headers", "absent")}

POSITIONS = [
    pytest.param(partner, name, position, id=f"{partner}-{name}-{position}")
    for partner, facts in (("bitrix24", FACTS), ("xero", ALL))
    for name, positions, _ in facts
    for position in positions[1:]
    if (name, position) not in CLOSED
]


@pytest.fixture
def small_office(sandbox: Sandbox, sqlite_url: str, redis_url: str) -> Iterator[Office]:
    """On SQLite only: a partner's answer does not depend on our database."""
    running = Office(sandbox, sqlite_url, redis_url)
    yield running
    running.close()


def test_the_main_story_with_every_fact_as_expected(office: Office) -> None:
    tell(office)


@pytest.mark.parametrize(("partner", "name", "position"), POSITIONS)
def test_the_main_story_whatever_the_partner_does(small_office: Office, partner: str, name: str, position: str) -> None:
    getattr(small_office.sandbox, partner).controls.switches.set(name, position)

    tell(small_office)


@pytest.mark.parametrize(
    ("name", "position", "words"),
    [
        ("tier", "full", "the number of organisations that it can connect"),
        ("uncertified_apps", "two_already", "already connected to two uncertified apps"),
        ("pkce_on_web_app", "refused", "PKCE is not enabled for this client"),
    ],
)
def test_where_xero_admits_nobody_its_own_page_says_why_and_nothing_is_connected(small_office: Office, name: str, position: str, words: str) -> None:
    small_office.sandbox.xero.controls.switches.set(name, position)
    alice = small_office.install()

    assert words in at_xero(small_office, alice)

    assert "Connect to Xero" in alice.get("/app/setup/connection").text


@pytest.mark.parametrize(
    ("name", "position", "words"),
    [("tier", "full", "the number of organisations that it can connect"), ("uncertified_apps", "two_already", "two uncertified apps")],
)
def test_a_consent_beyond_the_limits_that_comes_back_refused_is_explained(small_office: Office, name: str, position: str, words: str) -> None:
    small_office.sandbox.xero.controls.switches.set(name, position)
    small_office.sandbox.xero.controls.switches.set("tier_refusal", "access_denied")
    alice = small_office.install()

    told = alice.connect_xero()

    assert words in told
    assert "did not allow" not in told
    assert words in alice.get("/app/setup/connection").text


def test_where_xero_takes_no_pkce_from_the_app_an_operator_switches_it_off(sandbox: Sandbox, sqlite_url: str, redis_url: str) -> None:
    sandbox.xero.controls.switches.set("pkce_on_web_app", "refused")
    office = Office(sandbox, sqlite_url, redis_url, XERO_PKCE="off")

    tell(office)

    office.close()


def test_without_limit_headers_the_first_minute_is_waited_out_and_then_everything_goes(small_office: Office) -> None:
    small_office.sandbox.xero.controls.switches.set("limit_headers", "absent")
    small_office.install().connect_xero()
    a_minute_passes(small_office)

    tell(small_office)


def a_minute_passes(office: Office) -> None:
    """Redis has a clock of its own: what it holds until then is let go."""
    for key in office.services.redis.keys("xero:*:state"):
        office.services.redis.hset(key, mapping={"hold": 0, "blind": 0})


def at_xero(office: Office, person: Person) -> str:
    """The page on which the window at Xero ends."""
    ticket = re.search(r"/xero/connect\?ticket=([\w-]+)", person.post("/app/setup/connection/ticket").text)
    assert ticket
    away = office.app.test_client().get(f"/xero/connect?ticket={ticket[1]}").location
    tenant = next(one for one, books in office.sandbox.xero.organisations.items() if books.organisation.name == HARBOUR_ORGANISATION)
    return requests.post(away, data={"login": "olivia", "organisation": tenant, "decision": "allow"}, timeout=5).text.replace("&#39;", "'")
