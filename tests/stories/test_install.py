"""Install, open, trust: what the portal says is a claim until the authorisation server has confirmed it."""

from __future__ import annotations

import re

import pytest

from plugin.bitrix24.placements import PLACES
from plugin.models import Activity, Bitrix24Login, Portal
from sandbox.bitrix24.php import flatten
from sandbox.serve import Sandbox
from tests.stories.office import Office
from tests.stories.patience import PatientOffice
from tests.stories.seen import deliver, open_window, portal_row, post_opening, ring, row, rows, says, trap

PAGES = ("/bitrix24/install", "/bitrix24/app", "/bitrix24/placement")


def test_the_installer_page_stores_the_portal_and_binds_what_the_app_needs(office: Office) -> None:
    alice = office.install()

    app = office.sandbox.bitrix24.portals["harbour"].installation
    assert app is not None
    assert {"ONAPPUNINSTALL", "ONAPPUPDATE", "ONCRMDYNAMICITEMUPDATE_31"} <= {one.event for one in app.handlers}
    assert {"CRM_SMART_INVOICE_LIST_TOOLBAR", "CRM_SMART_INVOICE_DETAIL_TAB"} <= {one.code for one in app.placements}
    held = portal_row(office)
    assert (held.application_token, held.service_user_id) == (app.application_token, 1)
    assert "Connect to Xero" in alice.get("/app/").text


def test_only_the_visitors_own_portal_may_frame_the_app(office: Office) -> None:
    office.install()

    answer = post_opening(office, "/bitrix24/app")

    assert f"frame-ancestors {office.sandbox.bitrix24.portals['harbour'].url};" in answer.headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in answer.headers
    assert office.client.get("/bitrix24/app").headers["Content-Security-Policy"].count("frame-ancestors 'none'") == 1


def test_the_same_installer_twice_binds_nothing_twice(office: Office) -> None:
    office.install()
    app = office.sandbox.bitrix24.portals["harbour"].installation
    assert app is not None
    before = (len(app.handlers), len(app.placements), len(office.sandbox.bitrix24.portals["harbour"].user_fields))

    assert post_opening(office, "/bitrix24/install").status_code == 200

    assert (len(app.handlers), len(app.placements), len(office.sandbox.bitrix24.portals["harbour"].user_fields)) == before
    assert len(rows(office, Portal)) == 1


@pytest.mark.parametrize("path", PAGES)
def test_a_token_of_another_app_opens_nothing(office: Office, path: str) -> None:
    office.install()
    crm = office.sandbox.bitrix24.portals["harbour"]
    foreign = crm.tokens.issue(crm.member_id, 1, "app.someoneelse.00000009")

    answer = post_opening(office, path, AUTH_ID=foreign.access)

    assert answer.status_code == 409
    assert says(answer.text, "launch.wrong_app")


def test_a_token_of_another_portal_opens_nothing_and_makes_no_row(office: Office) -> None:
    stranger = office.sandbox.bitrix24.portals["stranger"]
    stranger.install_fully()
    harbour = office.sandbox.bitrix24.portals["harbour"]
    harbour.install_fully()

    answer = post_opening(office, "/bitrix24/app", AUTH_ID=stranger.tokens.issue(stranger.member_id, 1).access)

    assert says(answer.text, "launch.wrong_portal")
    assert rows(office, Portal) == []


def test_another_domain_than_the_confirmed_one_opens_nothing_and_hears_nothing(office: Office) -> None:
    office.install()
    with trap() as evil:
        answer = post_opening(office, "/bitrix24/app", query={"DOMAIN": evil.url.removeprefix("http://")})

        assert answer.status_code == 409
        assert "does not match" in answer.text
        assert evil.heard == []


def test_a_server_endpoint_that_names_a_foreign_host_never_hears_anything(office: Office) -> None:
    with trap() as evil:
        office.sandbox.bitrix24.portals["harbour"].install()
        assert post_opening(office, "/bitrix24/install", SERVER_ENDPOINT=f"{evil.url}/rest/").status_code == 200
        office.sandbox.bitrix24.portals["harbour"].finish_install()
        assert post_opening(office, "/bitrix24/app", SERVER_ENDPOINT=f"{evil.url}/rest/").status_code == 200
        office.sandbox.bitrix24.tokens.expire(office.sandbox.bitrix24.portals["harbour"].member_id)
        office.open().get("/app/invoices")

        assert evil.heard == []
    assert portal_row(office).server_endpoint == f"{office.sandbox.settings.oauth_url}/rest/"


def test_an_invented_token_opens_nothing(office: Office) -> None:
    answer = office.client.post("/bitrix24/app", query_string={"DOMAIN": "127.0.0.1"}, data={"AUTH_ID": "guess", "member_id": "f" * 32})

    assert answer.status_code in (409, 503)
    assert rows(office, Portal) == []


def test_an_old_on_premise_portal_opens_without_token_and_endpoint_of_its_own(office: Office) -> None:
    ada = office.install("onpremise")

    assert ada.get("/app/").status_code == 200
    assert portal_row(office, "onpremise").application_token is None
    assert deliver(office, "ONAPPINSTALL") == [200]
    assert portal_row(office, "onpremise").application_token


def test_an_old_portal_whose_install_event_was_lost_brings_its_secret_with_an_administrators_event(office: Office) -> None:
    office.install("onpremise")
    crm = office.sandbox.bitrix24.portals["onpremise"]

    def event(user: int | None) -> int:
        token = {"access_token": crm.tokens.issue(crm.member_id, user).access} if user else {}
        auth = {**token, "member_id": crm.member_id, "application_token": "e" * 32}
        body = {"event": "ONCRMDYNAMICITEMUPDATE_31", "data": {"FIELDS": {"ID": "1", "ENTITY_TYPE_ID": "31"}}, "auth": auth}
        return int(office.client.post("/bitrix24/events", data=dict(flatten(body))).status_code)

    administrator = next(one.id for one in crm.users.values() if one.admin)
    sales_person = next(one.id for one in crm.users.values() if not one.admin)

    assert [event(None), event(sales_person)] == [403, 403]
    assert event(administrator) == 200
    assert portal_row(office, "onpremise").application_token == "e" * 32
    assert event(None) == 200


def test_a_sales_person_cannot_change_the_portals_secret_by_opening_the_app(office: Office) -> None:
    office.install()
    secret = portal_row(office).application_token

    assert post_opening(office, "/bitrix24/app", user=2, APPLICATION_TOKEN="f" * 32).status_code == 200

    assert portal_row(office).application_token == secret


def test_a_sales_person_cannot_change_the_portals_secret_by_an_event(office: Office) -> None:
    office.install()
    crm = office.sandbox.bitrix24.portals["harbour"]
    secret = portal_row(office).application_token
    pair = crm.tokens.issue(crm.member_id, 2)

    for name in ("ONAPPINSTALL", "ONAPPUPDATE"):
        auth = {"access_token": pair.access, "refresh_token": pair.refresh, "member_id": crm.member_id, "application_token": "f" * 32}
        assert office.client.post("/bitrix24/events", data=dict(flatten({"event": name, "data": {"VERSION": "9"}, "auth": auth}))).status_code == 403

    assert portal_row(office).application_token == secret


def test_an_event_without_the_portals_secret_is_refused(office: Office) -> None:
    office.install()
    crm = office.sandbox.bitrix24.portals["harbour"]
    for secret in ("", "f" * 32):
        body = {"event": "ONAPPUNINSTALL", "data": {"CLEAN": "1"}, "auth": {"member_id": crm.member_id, "application_token": secret}}
        assert office.client.post("/bitrix24/events", data=dict(flatten(body))).status_code == 403
    unknown = {"event": "ONAPPUNINSTALL", "data": {"CLEAN": "1"}, "auth": {"member_id": "0" * 32, "application_token": "x"}}
    assert office.client.post("/bitrix24/events", data=dict(flatten(unknown))).status_code == 403
    assert office.client.post("/bitrix24/events", data={"nonsense[": "1"}).status_code == 403

    assert portal_row(office).uninstalled_at is None


@pytest.mark.parametrize("order", ["with_opening", "after_finish"])
def test_the_install_event_may_come_before_or_after_the_installer_page(office: Office, order: str) -> None:
    office.sandbox.bitrix24.controls.switches.set("install_event_order", order)
    crm = office.sandbox.bitrix24.portals["harbour"]
    crm.install()
    early = deliver(office, "ONAPPINSTALL")
    assert post_opening(office, "/bitrix24/install").status_code == 200
    crm.finish_install()
    late = deliver(office, "ONAPPINSTALL")

    assert early + late == [200]
    assert len(rows(office, Portal)) == 1
    login = row(office, Bitrix24Login, user_id=1)
    assert (login.name, login.admin) == ("Alice Administrator", True)
    assert crm.installation is not None
    assert portal_row(office).application_token == crm.installation.application_token


def test_an_update_brings_a_new_secret_and_the_next_administrator_binds_the_handlers_again(office: Office) -> None:
    for name, position in (("update_changes_application_token", "yes"), ("update_runs_installer", "no"), ("placements_survive_update", "no")):
        office.sandbox.bitrix24.controls.switches.set(name, position)
    office.install()
    crm = office.sandbox.bitrix24.portals["harbour"]
    office.sandbox.bitrix24.delivery.log.clear()
    crm.update_app()
    assert deliver(office, "ONAPPUPDATE") == [200]
    assert crm.installation is not None
    assert crm.installation.handlers == []

    office.open(user=2)
    assert crm.installation.handlers == []
    office.open(user=4)

    assert "ONAPPUNINSTALL" in {one.event for one in crm.installation.handlers}
    assert {one.code for one in crm.installation.placements} == set(PLACES)
    assert portal_row(office).application_token == crm.installation.application_token
    assert "activity.updated" in {one.code for one in rows(office, Activity)}


def test_an_update_that_nobody_announced_is_noticed_too(office: Office) -> None:
    office.sandbox.bitrix24.controls.switches.set("update_runs_installer", "no")
    office.install()
    crm = office.sandbox.bitrix24.portals["harbour"]
    crm.update_app()  # and its event is lost
    assert crm.installation is not None

    office.open()

    assert "ONAPPUNINSTALL" in {one.event for one in crm.installation.handlers}


def test_a_renamed_portal_is_followed_to_its_new_address(sandbox: Sandbox, database_url: str, redis_url: str) -> None:
    crm = sandbox.bitrix24.portals["harbour"]
    new = f"http://localhost:{crm.url.rpartition(':')[2]}"
    sandbox.settings.portal_urls["elsewhere"] = new
    try:
        office = Office(sandbox, database_url, redis_url)
    finally:
        del sandbox.settings.portal_urls["elsewhere"]
    alice = office.install()
    assert crm.rename() == new

    page = alice.get("/app/invoices")

    assert "HV-10" in page.text
    assert portal_row(office).client_endpoint == f"{new}/rest/"
    assert office.open().get("/app/").status_code == 200
    assert len(rows(office, Portal)) == 1
    office.close()


def test_a_new_address_that_is_not_named_is_not_followed(office: Office) -> None:
    alice = office.install()
    crm = office.sandbox.bitrix24.portals["harbour"]
    old = crm.url
    crm.rename()

    page = alice.get("/app/invoices")

    assert "HV-10" not in page.text
    assert portal_row(office).client_endpoint == f"{old}/rest/"


def test_the_new_address_of_a_portal_is_believed_only_from_the_authorisation_server(office: Office) -> None:
    alice = office.install()
    crm = office.sandbox.bitrix24.portals["harbour"]
    with trap() as evil:
        office.sandbox.bitrix24.controls.fail("status", path="/rest/", status=302, headers={"Location": f"{evil.url}/rest/profile"}, times=20)
        alice.get("/app/invoices")

        assert evil.heard == []
    assert portal_row(office).client_endpoint == f"{crm.url}/rest/"


def test_people_without_rights_do_not_install_and_do_not_reach_settings(office: Office) -> None:
    office.ready()
    sam = office.open(user=2)
    routes = {
        "GET": ("", "/1", "/5", "/accounts", "/connection", "/doubtful"),
        "POST": (
            "/1",
            "/confirm",
            "/take-over",
            "/doubtful/1",
            "/first-sync",
            "/stages",
            "/connection/ticket",
            "/connection/organisation",
            "/connection/disconnect",
        ),
    }

    answers = {path: (sam.get if verb == "GET" else sam.post)(f"/app/setup{path}").status_code for verb, paths in routes.items() for path in paths}

    assert set(answers.values()) == {403}, answers
    assert post_opening(office, "/bitrix24/install", user=2).status_code == 403


def test_every_route_of_the_settings_is_closed_to_them(office: Office) -> None:
    office.ready()
    sam = office.open(user=2)
    with office.app.app_context():
        rules = [one for one in office.app.url_map.iter_rules() if one.rule.startswith("/app/setup")]
    assert len(rules) > 12
    for rule in rules:
        path = re.sub(r"<int:\w+>", "1", rule.rule)
        for verb in (rule.methods or set()) & {"GET", "POST"}:
            assert (sam.get if verb == "GET" else sam.post)(path).status_code == 403, rule


def test_a_sales_person_before_set_up_is_told_whom_to_ask(office: Office) -> None:
    office.install()

    page = office.open(user=2).get("/app/")

    assert page.status_code == 200
    assert "administrator" in page.text
    assert "Connect to Xero</button>" not in page.text


def test_a_forged_a_missing_and_an_ended_pass_show_nothing(office: Office) -> None:
    alice = office.install()
    good = alice.frame_pass
    other = office.install("stranger").frame_pass
    for forged in ("", "x.y.z", good[:-2] + "zz", f"{other.split('.')[0]}.{'.'.join(good.split('.')[1:])}"):
        alice.frame_pass = forged
        assert alice.get("/app/").status_code == 401
    alice.frame_pass = good
    assert alice.get("/app/").status_code == 200


def test_a_pass_of_an_uninstalled_portal_has_ended(office: Office) -> None:
    alice = office.install()
    office.sandbox.bitrix24.delivery.log.clear()
    office.sandbox.bitrix24.portals["harbour"].uninstall()
    assert deliver(office, "ONAPPUNINSTALL") == [200]

    assert alice.get("/app/").status_code == 401


def test_an_ended_pass_is_renewed_only_with_a_fresh_token_of_the_same_person(office: Office) -> None:
    alice = office.install()
    crm, stranger = (office.sandbox.bitrix24.portals[name] for name in ("harbour", "stranger"))
    office.install("stranger")
    tokens = crm.tokens
    for wrong in (
        "",
        "guess",
        tokens.issue(crm.member_id, 2).access,
        tokens.issue(stranger.member_id, 1).access,
        tokens.issue(crm.member_id, 1, "app.other.1").access,
    ):
        assert alice.post("/app/pass", {"AUTH_ID": wrong}).status_code >= 400

    assert alice.post("/app/pass", {"AUTH_ID": tokens.issue(crm.member_id, 1).access}).status_code == 204
    assert alice.get("/app/").status_code == 200


def test_rights_that_were_taken_are_gone_with_the_next_confirmation(office: Office) -> None:
    office.install()
    tama = office.open(user=4)
    assert tama.get("/app/setup").status_code == 200
    crm = office.sandbox.bitrix24.portals["harbour"]
    crm.users[4].admin = False

    assert tama.post("/app/pass", {"AUTH_ID": crm.tokens.issue(crm.member_id, 4).access}).status_code == 204

    assert tama.get("/app/setup").status_code == 403


def test_a_dismissed_service_administrator_is_replaced_by_the_next_one_who_opens_the_app(patient: PatientOffice) -> None:
    alice = patient.ready()
    crm = patient.sandbox.bitrix24.portals["harbour"]
    crm.dismiss(1)
    crm.tokens.expire(crm.member_id, 1)
    assert alice.post("/app/setup/first-sync").status_code == 200
    ring(patient)
    assert says(patient.open(user=2).get("/app/").text, "portal.service_gone")
    assert portal_row(patient).service_user_id == 1

    tama = patient.open(user=4)

    assert portal_row(patient).service_user_id == 4
    assert not says(tama.get("/app/").text, "portal.service_gone")
    patient.work()
    assert patient.waiting() == []


def test_a_service_administrator_who_lost_the_right_is_replaced(office: Office) -> None:
    office.install()
    office.sandbox.bitrix24.portals["harbour"].users[1].admin = False
    office.open(user=1)

    office.open(user=4)

    assert portal_row(office).service_user_id == 4


def test_any_administrator_may_take_over_with_one_click(office: Office) -> None:
    office.ready()
    tama = office.open(user=4)
    assert portal_row(office).service_user_id == 1

    assert tama.post("/app/setup/take-over").status_code == 200

    assert portal_row(office).service_user_id == 4


def test_a_portal_without_smart_invoices_gets_a_sentence(office: Office) -> None:
    lee = office.install("oldinvoices")
    open_window(lee)
    lee.connect_xero()

    page = lee.get("/app/setup")

    assert page.status_code == 200
    assert says(page.text, "bitrix24.no_smart_invoices") or "mart invoices" in page.text
    assert lee.post("/app/setup/confirm").status_code == 409


def test_the_stranger_has_a_row_and_a_life_of_its_own(office: Office) -> None:
    office.ready()
    bob = office.install("stranger")

    assert "Connect to Xero" in bob.get("/app/").text
    assert "Harbour" not in bob.get("/app/").text + bob.get("/app/setup").text + bob.get("/app/activity").text
    assert portal_row(office, "stranger").id != portal_row(office).id
