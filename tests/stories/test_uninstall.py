"""Uninstall: access ends at once, Xero is told, rows go now or after 90 days; installing again brings back what was kept."""

from __future__ import annotations

import pytest

from plugin import sweep
from plugin.models import Bitrix24Login, Connection, Consent, DirectoryEntry, FirstRun, Job, Link, Organisation, Portal, SettingsVersion, XeroLogin
from tests.stories.office import Office
from tests.stories.patience import PatientOffice
from tests.stories.seen import deliver, portal_row, post_opening, row, rows, rows_of_portal
from tests.stories.test_sending import outcome, sendable

NINETY_DAYS = 90 * 86_400


def uninstall(office: Office, name: str = "harbour", clean: bool = False) -> None:
    """Somebody removes the app in Bitrix24, and its event arrives."""
    office.sandbox.bitrix24.delivery.log.clear()
    office.sandbox.bitrix24.portals[name].uninstall(clean)
    assert deliver(office, "ONAPPUNINSTALL") == [200]


@pytest.mark.parametrize("clean", [False, True])
def test_tokens_are_gone_at_once_and_xero_keeps_no_connection(office: Office, clean: bool) -> None:
    alice = office.ready()
    (crm_id,) = sendable(office, 1)
    waiting = alice.order(crm_id)
    alice.post(f"/app/batches/{waiting}/confirm")

    uninstall(office, clean=clean)

    assert rows(office, Bitrix24Login) == []
    assert rows(office, Consent) == []
    assert [one for one in rows(office, XeroLogin) if one.access_token or one.refresh_token] == []
    assert [one for one in rows(office, Portal) if one.application_token] == []
    assert rows(office, Job, state="waiting") == []
    assert office.sandbox.xero.world.identity.connections == {}
    assert office.sandbox.xero.world.identity.refresh == {}
    assert alice.get("/app/").status_code == 401


def test_work_that_waited_ends_with_that_reason(office: Office) -> None:
    alice = office.ready()
    batch = alice.order(*sendable(office, 1))
    alice.post(f"/app/batches/{batch}/confirm")

    uninstall(office)

    assert outcome(office, batch) == [("problem", "portal.uninstalled")]


def test_whoever_asked_for_it_has_every_row_erased_now(office: Office) -> None:
    alice = office.ready()
    alice.send(*sendable(office, 2))
    portal_id = alice.portal_id
    assert len(rows_of_portal(office, portal_id)) > 8

    uninstall(office, clean=True)

    assert rows_of_portal(office, portal_id) == {}
    assert rows(office, Organisation) == rows(office, DirectoryEntry) == rows(office, XeroLogin) == []


def test_otherwise_rows_are_kept_for_ninety_days_and_then_erased(patient: PatientOffice) -> None:
    alice = patient.ready()
    alice.send(*sendable(patient, 1))
    portal_id = alice.portal_id
    uninstall(patient)
    patient.pass_time(NINETY_DAYS - 3600)
    sweep.run(patient.services, once=True)
    assert rows(patient, Link)

    patient.pass_time(86_500)
    sweep.run(patient.services, once=True)

    assert rows_of_portal(patient, portal_id) == {}
    assert rows(patient, Organisation) == []


def test_installing_again_brings_back_settings_and_links_but_no_connection(office: Office) -> None:
    alice = office.ready()
    (crm_id,) = sendable(office, 1)
    alice.send(crm_id)
    links = len(rows(office, Link))
    uninstall(office)

    again = office.install()

    held = portal_row(office)
    assert (held.uninstalled_at, held.erase_at) == (None, None)
    assert "Connect to Xero" in again.get("/app/").text
    again.connect_xero()
    assert (len(rows(office, Link)), len(rows(office, SettingsVersion))) == (links, 1)
    assert outcome(office, again.send(crm_id)) == [("unchanged", None)]


def test_installing_again_before_ninety_days_stops_the_erasure(patient: PatientOffice) -> None:
    patient.ready()
    uninstall(patient)
    patient.install()

    patient.pass_time(NINETY_DAYS + 3600)
    sweep.run(patient.services, once=True)

    assert len(rows(patient, Portal)) == 1


def test_a_first_synchronisation_that_was_cut_off_is_taken_up_again_after_installing_again(office: Office) -> None:
    alice = office.install()
    alice.connect_xero()
    alice.set_up()
    uninstall(office)
    assert row(office, FirstRun).state == "problem"

    office.install().connect_xero()
    office.work()

    assert row(office, FirstRun).state == "done"


def test_a_connection_that_another_portal_uses_stays(office: Office) -> None:
    office.ready()
    bob = office.install("stranger")
    bob.connect_xero()
    bob.set_up(number_prefix="BOB-")
    office.work()

    uninstall(office, clean=True)

    assert len(office.sandbox.xero.world.identity.connections) == 1
    assert row(office, Connection).portal_id == bob.portal_id
    assert row(office, XeroLogin).refresh_token
    assert rows(office, DirectoryEntry)
    assert bob.get("/app/invoices").status_code == 200


def test_a_xero_that_is_away_hears_of_it_later(office: Office) -> None:
    office.ready()
    office.sandbox.xero.controls.fail("cut", path="/conne", times=9)
    uninstall(office, clean=True)
    assert len(office.sandbox.xero.world.identity.connections) == 1
    assert rows(office, XeroLogin) == []
    office.sandbox.xero.controls.faults.clear()

    sweep.run(office.services, once=True)

    assert office.sandbox.xero.world.identity.connections == {}


def test_the_old_secret_opens_nothing_after_installing_again(office: Office) -> None:
    office.install()
    old = portal_row(office).application_token
    uninstall(office)
    office.install()

    body = {"event": "ONAPPUNINSTALL", "data[CLEAN]": "1", "auth[member_id]": portal_row(office).member_id, "auth[application_token]": old}

    assert office.client.post("/bitrix24/events", data=body).status_code == 403
    assert portal_row(office).uninstalled_at is None


def test_an_opening_with_a_token_of_before_the_uninstall_opens_nothing(office: Office) -> None:
    office.install()
    crm = office.sandbox.bitrix24.portals["harbour"]
    opening = crm.open_app(1)
    uninstall(office)

    answer = office.client.post(opening.url.removeprefix(office.sandbox.settings.app_url), data=opening.fields)

    assert answer.status_code == 409
    assert portal_row(office).uninstalled_at is not None


def test_the_stranger_is_not_touched(office: Office) -> None:
    office.ready()
    bob = office.install("stranger")
    office.services.call_log.flush()
    before = rows_of_portal(office, bob.portal_id)

    uninstall(office, clean=True)

    office.services.call_log.flush()
    assert rows_of_portal(office, bob.portal_id) == before
    assert bob.get("/app/").status_code == 200
    assert post_opening(office, "/bitrix24/app", "stranger").status_code == 200
