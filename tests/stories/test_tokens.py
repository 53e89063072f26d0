"""Tokens: one refresh at a time, committed before use, lost answers survived, nothing in the clear."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from launch.tree import child_environment
from plugin import create_app, logins, sweep
from plugin.domain.problems import Problem
from plugin.models import Bitrix24Login, Connection, Portal, XeroLogin
from tests.running import until
from tests.stories.office import Office, Person
from tests.stories.patience import PatientOffice
from tests.stories.seen import portal_row, ring, row, rows, says
from tests.stories.test_sending import outcome, sendable

REFRESH = """
import sys
from plugin import create_app, logins
from plugin.config import Config
services = create_app(Config.from_env()).extensions["tallybridge"]
sys.stdin.readline()
print(logins.xero_token(services, int(sys.argv[1])))
"""


def expire_xero(office: Office) -> int:
    """The stored access token of the one Xero user ran out."""
    login = row(office, XeroLogin)
    with office.services.db.transaction() as tx:
        tx.get_one(XeroLogin, login.id).expires_at = office.services.now() - timedelta(seconds=1)
    office.sandbox.xero.controls.calls.clear()
    return login.id


def refreshes(office: Office) -> int:
    return len([one for one in office.sandbox.xero.controls.calls if one.path == "/connect/token"])


def connected(office: Office) -> Person:
    alice = office.install()
    alice.connect_xero()
    return alice


def test_eight_threads_refresh_once_and_all_have_the_same_token(office: Office) -> None:
    connected(office)
    login_id = expire_xero(office)
    office.sandbox.xero.controls.latency.append(("/connect/token", "POST", 0.3))

    with ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(lambda _: logins.xero_token(office.services, login_id), range(8)))

    assert len(tokens) == 1
    assert refreshes(office) == 1


def test_three_processes_refresh_once(office: Office) -> None:
    connected(office)
    login_id = expire_xero(office)
    office.sandbox.xero.controls.latency.append(("/connect/token", "POST", 0.5))
    start, environment = [sys.executable, "-c", REFRESH, str(login_id)], environment_of(office)
    children = [subprocess.Popen(start, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for child in children:
        assert child.stdin is not None
    answers = {child.communicate("\n", timeout=60)[0].strip() for child in children}

    assert len(answers) == 1
    assert refreshes(office) == 1


def environment_of(office: Office) -> dict[str, str]:
    """What a process of its own needs to be part of this office."""
    config = office.config
    own = {"SECRET_KEY": config.secret_key, "ENCRYPTION_KEYS": ",".join(config.encryption_keys), "DATABASE_URL": config.database_url}
    return child_environment() | office.sandbox.settings.app_environment() | own | {"REDIS_URL": config.redis_url}


def test_the_new_pair_is_committed_before_it_is_used(office: Office) -> None:
    alice = connected(office)
    expire_xero(office)
    office.sandbox.xero.controls.fail("cut", path="/api.xro", times=9)

    assert alice.get("/app/setup").status_code == 503

    office.sandbox.xero.controls.faults.clear()
    held = row(office, XeroLogin).refresh_token
    current = [token for token, one in office.sandbox.xero.world.identity.refresh.items() if one.replaced is None]
    assert [held] == current


def test_a_lost_answer_to_a_refresh_is_survived(office: Office) -> None:
    connected(office)
    login_id = expire_xero(office)
    office.sandbox.xero.controls.fail("lost", path="/connect/token")

    assert logins.xero_token(office.services, login_id)

    assert refreshes(office) == 2
    assert row(office, Connection).problem is None


def test_a_token_that_xero_does_not_accept_is_renewed_once_before_anybody_is_bothered(office: Office) -> None:
    alice = office.ready()
    with office.services.db.transaction() as tx:
        tx.get_one(XeroLogin, row(office, XeroLogin).id).access_token = "from another time"
    office.sandbox.xero.controls.calls.clear()

    assert outcome(office, alice.send(sendable(office, 1)[0])) == [("created", None)]

    assert refreshes(office) == 1
    assert row(office, Connection).problem is None


def test_two_lost_answers_are_tried_again_later_with_the_same_token(patient: PatientOffice) -> None:
    connected(patient)
    login_id = expire_xero(patient)
    patient.sandbox.xero.controls.fail("lost", path="/connect/token", times=2)
    with pytest.raises(Problem, match=r"login\.no_answer") as raised:
        logins.xero_token(patient.services, login_id)
    assert raised.value.retry.kind == "later"

    patient.pass_time(20 * 60)

    assert logins.xero_token(patient.services, login_id)


def test_a_turn_that_was_lost_to_a_new_consent_changes_nothing(office: Office) -> None:
    """The refresh takes so long that the person has connected again meanwhile: the newer pair stays."""
    alice = connected(office)
    login_id = expire_xero(office)
    faults = office.sandbox.xero.controls.faults
    office.sandbox.xero.controls.fail("slow", path="/connect/token", seconds=0.8)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(logins.xero_token, office.services, login_id)
        until(lambda: not faults)
        alice.connect_xero()
        newest = row(office, XeroLogin).refresh_token

        assert slow.result(10) == row(office, XeroLogin).access_token
    assert row(office, XeroLogin).refresh_token == newest


def test_a_revoked_grant_shows_a_banner_and_work_goes_on_after_reconnecting(office: Office) -> None:
    alice = office.ready()
    (crm_id,) = sendable(office, 1)
    batch = alice.order(crm_id)
    expire_xero(office)
    office.sandbox.xero.actions.revoke("olivia")
    alice.post(f"/app/batches/{batch}/confirm")
    ring(office)

    page = alice.get("/app/").text

    assert says(page, "xero.grant_invalid")
    asked = refreshes(office)
    ring(office)
    assert refreshes(office) == asked
    alice.connect_xero()
    office.work()
    assert outcome(office, batch) == [("created", None)]
    assert not says(alice.get("/app/").text, "xero.grant_invalid")


def test_a_bitrix24_token_is_renewed_when_it_was_refused_and_not_sooner(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    office.sandbox.bitrix24.controls.calls.clear()
    alice.get("/app/invoices")
    assert not [one for one in office.sandbox.bitrix24.controls.calls if one.path.startswith("/oauth/token")]
    before = row(office, Bitrix24Login, user_id=1).refresh_token
    crm.tokens.expire(crm.member_id, 1)

    assert "HV-" in alice.get("/app/invoices").text

    assert len([one for one in office.sandbox.bitrix24.controls.calls if one.path.startswith("/oauth/token")]) == 1
    assert row(office, Bitrix24Login, user_id=1).refresh_token != before


def test_a_new_pair_brings_the_address_of_a_portal_that_was_renamed_long_ago(office: Office) -> None:
    office.install()
    right = portal_row(office).client_endpoint
    with office.services.db.transaction() as tx:
        tx.get_one(Portal, portal_row(office).id).client_endpoint = "https://gone.bitrix24.example/rest/"
    login = row(office, Bitrix24Login, user_id=1)

    logins.bitrix24_token(office.services, login.id, stale=login.access_token)

    assert portal_row(office).client_endpoint == right


def test_eight_threads_renew_a_persons_bitrix24_token_once(office: Office) -> None:
    office.install()
    login = row(office, Bitrix24Login, user_id=1)
    office.sandbox.bitrix24.controls.calls.clear()
    office.sandbox.bitrix24.controls.latency.append(("/oauth/token", ".*", 0.2))

    with ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(lambda _: logins.bitrix24_token(office.services, login.id, stale=login.access_token), range(8)))

    assert len(tokens) == 1
    assert len([one for one in office.sandbox.bitrix24.controls.calls if one.path.startswith("/oauth/token")]) == 1


def test_a_lost_answer_that_cost_the_administrators_grant_shows_a_banner_until_an_administrator_opens_the_app(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    crm.tokens.expire(crm.member_id, 1)
    office.sandbox.bitrix24.controls.fail("lost", path="/oauth/token")
    alice.get("/app/invoices")
    assert says(alice.get("/app/").text, "portal.service_gone")
    assert portal_row(office).service_problem == "bitrix24.grant_invalid"

    again = office.open()

    assert not says(again.get("/app/").text, "portal.service_gone")
    assert "HV-" in again.get("/app/invoices").text


def test_a_dormant_portal_keeps_its_grant(patient: PatientOffice) -> None:
    patient.install()
    before = row(patient, Bitrix24Login, user_id=1).refresh_token
    patient.pass_time(100 * 86_400)
    sweep.run(patient.services, once=True)
    assert row(patient, Bitrix24Login, user_id=1).refresh_token == before

    patient.pass_time(30 * 86_400)
    sweep.run(patient.services, once=True)

    assert row(patient, Bitrix24Login, user_id=1).refresh_token != before
    assert row(patient, Bitrix24Login, user_id=1).problem is None


def test_keys_rotate_while_everything_stays_readable(office: Office) -> None:
    connected(office)
    secret = row(office, XeroLogin).refresh_token
    old = office.config.encryption_keys[0]
    rotated = replace(office.config, encryption_keys=(Fernet.generate_key().decode(), old))

    app = create_app(rotated, office.services)

    assert row(office, XeroLogin).refresh_token == secret
    assert app.test_client().get("/healthz").status_code == 200
    expire_xero(office)
    logins.xero_token(office.services, row(office, XeroLogin).id)
    create_app(replace(rotated, encryption_keys=rotated.encryption_keys[:1]), office.services)
    assert row(office, XeroLogin).refresh_token
    create_app(rotated, office.services)


def test_no_secret_lies_in_the_database_or_the_log_in_the_clear(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    alice = office.ready()
    expire_xero(office)
    alice.send(*sendable(office, 1))
    crm, identity = office.sandbox.bitrix24.portals["harbour"], office.sandbox.xero.world.identity
    logins_of_crm = rows(office, Bitrix24Login)
    secrets = {*identity.refresh, *identity.access, *(one.access_token or "" for one in logins_of_crm), *(one.refresh_token or "" for one in logins_of_crm)}
    assert crm.installation is not None
    secrets |= {crm.installation.application_token, office.config.bitrix24_client_secret, office.config.xero_client_secret} - {""}
    assert len(secrets) > 6

    lies = stored_text(office)

    assert [one for one in secrets if one in lies] == []
    assert [one for one in secrets if one in caplog.text] == []
    assert not re.search(r"access_token|refresh_token=", caplog.text)


def stored_text(office: Office) -> str:
    """Everything in the database as its files or its tables hold it."""
    url = office.config.database_url
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        return "".join(one.read_bytes().decode("latin-1") for one in path.parent.glob(f"{path.name}*"))
    with office.services.db.engine.connect() as connection:
        from plugin.models import Base

        return "".join(str(line) for table in Base.metadata.sorted_tables for line in connection.exec_driver_sql(f'SELECT t::text FROM "{table.name}" t'))
