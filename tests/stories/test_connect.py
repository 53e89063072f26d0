"""Connect Xero: a window of its own, a consent that only its own browser can bring back, and every way in which it ends."""

from __future__ import annotations

import re
import threading

import pytest
import requests

from plugin.models import Activity, Connection, Consent, Link, SettingsVersion, XeroLogin
from plugin.usecases import connect_xero
from tests.stories.office import HARBOUR_ORGANISATION, Office, Person
from tests.stories.patience import PatientOffice
from tests.stories.seen import open_window, portal_row, ring, row, rows, says, words
from tests.stories.test_sending import outcome, sendable

AUSTRALIA = "Harbour & Vine Australia Pty Ltd"
DEMO = "Demo Company (NZ)"


def panel(person: Person) -> str:
    return words(person.get("/app/setup/connection").text)


def several(office: Office, person: Person, *names: str) -> str:
    """A consent that gives several organisations at once."""
    office.sandbox.xero.controls.switches.set("bulk_connections", "on")
    window = open_window(person)
    tenants = [office.sandbox.xero.actions.tenant(name) for name in names]
    form = [("login", "olivia"), ("decision", "allow"), *(("organisation", one) for one in tenants)]
    return window.back(requests.post(window.leave(), data=form, allow_redirects=False, timeout=5))


def test_one_organisation_is_taken_and_the_panel_says_who_since_when(office: Office) -> None:
    alice = office.install()
    assert alice.get("/app/connection", was="none").status_code == 204

    assert f"Connected to {HARBOUR_ORGANISATION}" in words(alice.connect_xero())

    moved_on = alice.get("/app/connection", was="none")
    assert moved_on.status_code == 200
    assert "start_date" in moved_on.text
    shown = panel(alice)
    assert HARBOUR_ORGANISATION in shown
    assert "Alice Administrator" in shown
    assert "in Xero: Olivia Standard" in shown
    assert "NZ NZD" in shown
    assert "Disconnect from Xero" in shown


def test_the_way_to_xero_names_state_and_challenge_and_sets_a_cookie_that_scripts_cannot_read(office: Office) -> None:
    window = open_window(office.install())

    away = window.browser.get(f"/xero/connect?ticket={window.ticket}")

    assert {"state", "code_challenge", "code_challenge_method"} <= set(re.findall(r"[?&](\w+)=", away.location))
    cookie = away.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/xero/" in cookie


def test_a_ticket_is_good_once(office: Office) -> None:
    window = open_window(office.install())
    window.leave()

    again = office.app.test_client().get(f"/xero/connect?ticket={window.ticket}")

    assert again.status_code == 409
    assert says(again.text, "connect.ticket_used")


def test_a_ticket_is_good_for_a_minute(patient: PatientOffice) -> None:
    window = open_window(patient.install())
    patient.pass_time(61)

    late = window.browser.get(f"/xero/connect?ticket={window.ticket}")

    assert late.status_code == 409
    assert says(late.text, "connect.ticket_used")


def test_a_forwarded_link_gives_nobodys_books_away(office: Office) -> None:
    """Somebody who begins and lets another person finish in their own browser gets nothing."""
    alice = office.install()
    window = open_window(alice)
    answer = window.decide(window.leave())

    page = window.back(answer, browser=office.app.test_client())

    assert says(page, "connect.other_browser")
    assert rows(office, Connection) == []
    assert rows(office, XeroLogin) == []
    assert says(office.app.test_client().get("/xero/callback?state=guess&code=x").text, "connect.state_unknown")


def test_an_answer_is_believed_once(office: Office) -> None:
    window = open_window(office.install())
    answer = window.decide(window.leave())
    cookie = window.browser.get_cookie("tallybridge_connect", path="/xero/")
    assert cookie is not None
    window.back(answer)
    window.browser.set_cookie("tallybridge_connect", cookie.value, path="/xero/")

    assert says(window.back(answer), "connect.used_already")
    assert len(rows(office, Connection)) == 1


def test_whoever_cancels_at_xero_is_told_so_in_both_windows_and_may_try_again(office: Office) -> None:
    alice = office.install()
    window = open_window(alice)

    page = window.back(window.decide(window.leave(), decision="cancel"))

    assert says(page, "connect.refused")
    assert says(alice.get("/app/connection", was="none").text, "connect.refused")
    assert HARBOUR_ORGANISATION in words(alice.connect_xero())


def test_a_role_that_xero_itself_refuses_connects_nothing(office: Office) -> None:
    alice = office.install()
    window = open_window(alice)

    answer = window.decide(window.leave(), login="ines")

    assert answer.status_code == 403
    assert "Connect to Xero" in panel(alice)
    assert rows(office, Connection) == []


def test_a_role_that_is_refused_after_the_consent_has_its_own_sentence(office: Office) -> None:
    alice = office.install()
    window = open_window(alice)
    answer = window.decide(window.leave())
    office.sandbox.xero.actions.set_role(HARBOUR_ORGANISATION, "olivia", "INVOICEONLY")

    page = window.back(answer)

    assert says(page, "connect.role_refused")
    assert says(panel(alice), "connect.role_refused")
    assert rows(office, Connection) == []


def test_a_code_that_ran_out_has_its_own_sentence_and_the_next_try_works(office: Office) -> None:
    alice = office.install()
    window = open_window(alice)
    answer = window.decide(window.leave())
    office.sandbox.xero.controls.clock.advance(301)

    assert says(window.back(answer), "connect.code_expired")
    assert says(panel(alice), "connect.code_expired")
    assert HARBOUR_ORGANISATION in words(alice.connect_xero())


def test_an_answer_after_ten_minutes_is_too_late(patient: PatientOffice) -> None:
    window = open_window(patient.install())
    address = window.leave()
    patient.pass_time(601)

    assert says(window.back(window.decide(address)), "connect.too_late")


def test_a_xero_that_does_not_answer_has_its_own_sentence(office: Office) -> None:
    window = open_window(office.install())
    answer = window.decide(window.leave())
    office.sandbox.xero.controls.fail("cut", path="/connect/token")

    assert says(window.back(answer), "connect.no_answer")


def test_several_organisations_are_offered_with_names_and_countries_and_only_the_chosen_one_stays(office: Office) -> None:
    alice = office.install()

    assert "Choose the organisation in Bitrix24" in several(office, alice, HARBOUR_ORGANISATION, AUSTRALIA)

    page = words(alice.get("/app/connection", was="none").text)
    assert HARBOUR_ORGANISATION in page
    assert f"{AUSTRALIA} AU" in page
    assert DEMO not in page
    tenant = office.sandbox.xero.actions.tenant(AUSTRALIA)
    moved_on = alice.get(alice.post("/app/setup/connection/organisation", {"tenant_id": tenant}).location)
    assert "start_date" in moved_on.text
    assert AUSTRALIA in panel(alice)
    assert [one.tenant_id for one in office.sandbox.xero.world.identity.connections.values()] == [tenant]


@pytest.mark.parametrize("step", ["/connect/token", "/connections", "/api.xro/2.0/Organisation", "the organisation again"])
def test_however_long_xero_takes_a_single_organisation_is_never_a_question(office: Office, step: str) -> None:
    """The page in the frame asks every second and a half, also between the window's steps."""
    alice = office.install()
    window = open_window(alice)
    answer = window.decide(window.leave())
    again = step == "the organisation again"
    held = office.sandbox.xero.controls.fail("hold", path="/api.xro/2.0/Organisation$" if again else step, skip=1 if again else 0, seconds=20)
    callback = threading.Thread(target=window.back, args=(answer,))
    callback.start()
    assert held.reached.wait(10)

    meanwhile = alice.get("/app/connection", was="none")
    held.released.set()
    callback.join(20)

    assert meanwhile.status_code == 204
    assert "start_date" in alice.get("/app/connection", was="none").text


def test_a_single_organisation_that_could_not_be_taken_may_be_chosen_once_more(office: Office) -> None:
    alice = office.install()
    window = open_window(alice)
    answer = window.decide(window.leave())
    office.sandbox.xero.controls.fail("status", path="/api.xro/2.0/Organisation$", skip=1, times=20, status=503)
    window.back(answer)
    office.sandbox.xero.controls.faults.clear()

    assert "Use this organisation" in panel(alice)
    alice.post("/app/setup/connection/organisation", {"tenant_id": office.sandbox.xero.actions.tenant(HARBOUR_ORGANISATION)})

    assert f"Connected Organisation {HARBOUR_ORGANISATION}" in panel(alice)


def test_only_organisations_of_that_consent_can_be_chosen_and_only_by_that_person(office: Office) -> None:
    alice = office.install()
    tama = office.open(user=4)
    several(office, alice, HARBOUR_ORGANISATION, AUSTRALIA)
    demo, harbour = (office.sandbox.xero.actions.tenant(name) for name in (DEMO, HARBOUR_ORGANISATION))

    assert alice.post("/app/setup/connection/organisation", {"tenant_id": demo}).status_code == 404
    assert tama.post("/app/setup/connection/organisation", {"tenant_id": harbour}).status_code == 404
    assert AUSTRALIA not in panel(tama)
    assert rows(office, Connection) == []


def test_an_organisation_that_another_portal_connected_is_never_offered(office: Office) -> None:
    """Bob's tokens would list it, for they belong to the same Xero user (RULES 1)."""
    office.install().connect_xero()
    bob = office.install("stranger")

    several(office, bob, AUSTRALIA, DEMO)

    page = words(bob.get("/app/connection", was="none").text)
    assert AUSTRALIA in page
    assert HARBOUR_ORGANISATION not in page


def test_reconnecting_as_another_xero_user_says_so_and_leaves_nothing_of_the_first_at_xero(office: Office) -> None:
    alice = office.ready()
    olivia = row(office, XeroLogin).id

    alice.connect_xero("ravi")

    connection = row(office, Connection)
    assert connection.xero_login_id != olivia
    assert "in Xero: Ravi Adviser" in panel(alice)
    assert "activity.connected_as_other" in {one.code for one in rows(office, Activity)}
    first = row(office, XeroLogin, id=olivia)
    assert (first.access_token, first.refresh_token) == (None, None)
    users = office.sandbox.xero.world.identity.users
    assert [one.user_id for one in office.sandbox.xero.world.identity.connections.values()] == [users["ravi"].id]
    assert outcome(office, alice.send(*sendable(office, 1))) == [("created", None)]


def test_another_organisation_starts_empty_and_the_first_one_returns_with_its_links(office: Office) -> None:
    alice = office.ready()
    (crm_id,) = sendable(office, 1)
    alice.send(crm_id)
    links = len(rows(office, Link))

    alice.connect_xero(organisation=AUSTRALIA)

    assert "start_date" in alice.get("/app/setup").text
    assert "XERO" not in alice.get("/app/invoices").text.upper().partition("<TBODY")[2][:0]
    assert alice.post("/app/batches", {"kind": "send", "id": [str(crm_id)]}).status_code in (200, 409)
    assert {one.organisation_id for one in rows(office, Connection) if one.ended_at is None} != {one.organisation_id for one in rows(office, Link)}
    assert len(office.sandbox.xero.world.identity.connections) == 1

    alice.connect_xero()

    assert len(rows(office, Link)) == links
    assert len(rows(office, SettingsVersion)) == 1
    assert outcome(office, alice.send(crm_id)) == [("unchanged", None)]


def test_disconnecting_deletes_nothing_on_either_side_and_ends_the_work_with_that_reason(office: Office) -> None:
    alice = office.ready()
    (crm_id, later) = sendable(office, 2)
    alice.send(crm_id)
    waiting = alice.order(later)
    alice.post(f"/app/batches/{waiting}/confirm")
    prepared = alice.order(later)
    documents, links = len(office.sandbox.xero.invoices()), len(rows(office, Link))

    assert alice.post("/app/setup/connection/disconnect").status_code == 200

    assert office.sandbox.xero.world.identity.connections == {}
    assert outcome(office, waiting) == [("problem", "portal.disconnected")]
    assert office.waiting() == []
    assert says(alice.get(f"/app/batches/{waiting}").text, "portal.disconnected")
    alice.post(f"/app/batches/{prepared}/confirm")
    assert office.waiting() == []
    assert (len(office.sandbox.xero.invoices()), len(rows(office, Link))) == (documents, links)
    login = row(office, XeroLogin)
    assert (login.access_token, login.refresh_token) == (None, None)
    assert "Connect to Xero" in alice.get("/app/setup").text


def test_a_disconnection_inside_xero_is_noticed_at_the_next_call_and_work_goes_on_after_reconnecting(office: Office) -> None:
    alice = office.ready()
    (crm_id,) = sendable(office, 1)
    batch = alice.order(crm_id)
    office.sandbox.xero.actions.disconnect(HARBOUR_ORGANISATION)
    alice.post(f"/app/batches/{batch}/confirm")

    ring(office)

    assert outcome(office, batch)[0][0] in ("waiting", "running")
    assert row(office, Connection).problem == "xero.disconnected"
    assert says(alice.get("/app/").text, "xero.disconnected")
    assert says(panel(alice), "xero.disconnected")
    assert "Reconnect to Xero" in panel(alice)
    alice.connect_xero()
    office.work()
    assert outcome(office, batch) == [("created", None)]
    assert not says(alice.get("/app/").text, "xero.disconnected")


def test_a_disconnection_inside_xero_is_noticed_by_the_sweep_when_nobody_works(office: Office) -> None:
    from plugin import sweep

    alice = office.ready()
    office.sandbox.xero.actions.disconnect(HARBOUR_ORGANISATION)

    sweep.run(office.services, once=True)

    assert row(office, Connection).problem == "xero.disconnected"
    assert says(alice.get("/app/").text, "xero.disconnected")


def test_the_sweep_asks_once_a_day_however_often_it_runs(patient: PatientOffice) -> None:
    from plugin import sweep

    patient.ready()
    calls = patient.sandbox.xero.controls.calls
    calls.clear()
    for _ in range(3):
        sweep.run(patient.services, once=True)
    assert len([one for one in calls if one.path == "/connections"]) == 1

    patient.pass_time(86_500)
    sweep.run(patient.services, once=True)

    assert len([one for one in calls if one.path == "/connections"]) == 2


def test_two_portals_share_one_organisation_and_one_leaves_without_the_other(office: Office) -> None:
    alice = office.ready()
    bob = office.install("stranger")
    bob.connect_xero()
    assert len(rows(office, XeroLogin)) == 1
    page = bob.post("/app/setup/1", {**bob.proposals()[1], "number_prefix": ""}).text
    assert says(page, "setup.prefix_required")
    bob.set_up(number_prefix="BOB-")

    bob.post("/app/setup/connection/disconnect")

    assert len(office.sandbox.xero.world.identity.connections) == 1
    assert HARBOUR_ORGANISATION in panel(alice)
    assert outcome(office, alice.send(*sendable(office, 1))) == [("created", None)]


def test_one_consent_heals_every_portal_that_uses_the_same_xero_user(office: Office) -> None:
    alice = office.ready()
    bob = office.install("stranger")
    bob.connect_xero(organisation=DEMO)
    office.sandbox.xero.actions.revoke("olivia")
    for login in rows(office, XeroLogin):
        office.sandbox.xero.controls.clock.advance(3600)
        with office.services.db.transaction() as tx:
            tx.merge(login).expires_at = office.services.now()
    for portal in ("harbour", "stranger"):
        with pytest.raises(Exception, match="grant_invalid"):
            connect_xero.check_connections(office.services, portal_row(office, portal).id)
    assert says(bob.get("/app/").text, "xero.grant_invalid")

    alice.connect_xero()

    assert not says(alice.get("/app/").text, "xero.grant_invalid")
    assert not says(bob.get("/app/").text, "xero.grant_invalid")


def test_a_xero_that_is_away_when_somebody_disconnects_is_told_later_by_the_sweep(office: Office) -> None:
    from plugin import sweep

    alice = office.ready()
    office.sandbox.xero.controls.fail("cut", path="/connections", times=5)
    alice.post("/app/setup/connection/disconnect")
    assert len(office.sandbox.xero.world.identity.connections) == 1
    assert row(office, XeroLogin).refresh_token is None
    office.sandbox.xero.controls.faults.clear()

    sweep.run(office.services, once=True)

    assert office.sandbox.xero.world.identity.connections == {}


def test_a_consent_that_came_to_nothing_leaves_no_tokens(patient: PatientOffice) -> None:
    from plugin import sweep

    alice = patient.install()
    several(patient, alice, HARBOUR_ORGANISATION, AUSTRALIA)
    sweep.run(patient.services, once=True)
    assert row(patient, XeroLogin).refresh_token

    patient.pass_time(90_000)
    sweep.run(patient.services, once=True)

    assert row(patient, XeroLogin).refresh_token is None
    assert patient.sandbox.xero.world.identity.connections == {}
    assert rows(patient, Consent) == []


@pytest.mark.parametrize("step", ["/connections", "/api.xro/2.0/Organisation"])
def test_the_daily_look_for_idle_tokens_takes_none_of_a_consent_that_is_under_way(office: Office, step: str) -> None:
    from plugin import sweep

    alice = office.install()
    window = open_window(alice)
    answer = window.decide(window.leave())
    held = office.sandbox.xero.controls.fail("hold", path=step, seconds=20)
    callback = threading.Thread(target=window.back, args=(answer,))
    callback.start()
    assert held.reached.wait(10)

    sweep.run(office.services, once=True)
    held.released.set()
    callback.join(20)

    assert row(office, XeroLogin).refresh_token
    assert f"Connected Organisation {HARBOUR_ORGANISATION}" in panel(alice)


def test_the_stranger_sees_nothing_of_a_connection(office: Office) -> None:
    office.ready()
    bob = office.install("stranger")

    shown = panel(bob) + words(bob.get("/app/").text) + words(bob.get("/app/connection", was="connected").text)

    assert "Olivia" not in shown
    assert HARBOUR_ORGANISATION not in shown
    assert bob.post("/app/setup/connection/disconnect").status_code == 404
    assert len(office.sandbox.xero.world.identity.connections) == 1
