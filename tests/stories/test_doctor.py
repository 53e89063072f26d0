"""Running it: health with parts away, the doctor's findings, and a start that names everything that is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from launch.tree import child_environment
from plugin import create_app, doctor, make_services
from plugin.config import Config
from tests.services import Databases
from tests.stories.office import Office, Person
from tests.stories.seen import says
from tests.stories.test_sending import outcome, sendable

ROOT = Path(__file__).parents[2]


def flask(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command as an operator gives it, with this environment and nothing else of ours."""
    ours = ("PUBLIC_URL", "SECRET_KEY", "ENCRYPTION_KEYS", "DATABASE_URL", "REDIS_URL", "BITRIX24", "XERO", "TALLYBRIDGE")
    bare = {name: value for name, value in child_environment().items() if not name.startswith(ours)}
    command = [sys.executable, "-m", "flask", "--app", "wsgi", *words]
    return subprocess.run(command, env=bare | environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def without_redis(office: Office) -> None:
    """Redis is gone."""
    services = make_services(replace(office.config, redis_url="unix:///nowhere/redis.sock"), office.services.db)
    office.services = office.app.extensions["tallybridge"] = services


def test_health_tells_the_database_and_redis(office: Office) -> None:
    answer = office.client.get("/healthz")

    assert (answer.status_code, answer.json) == (200, {"ok": True, "database": True, "redis": True})


def test_without_redis_pages_load_orders_are_kept_and_nothing_is_sent(office: Office) -> None:
    alice = office.ready()
    (crm_id,) = sendable(office, 1)
    before = office.services
    batch = alice.order(crm_id)
    without_redis(office)

    started = time.perf_counter()
    health = office.client.get("/healthz")
    assert time.perf_counter() - started < 1
    assert (health.status_code, health.json) == (200, {"ok": True, "database": True, "redis": False})
    assert says(alice.get("/app/").text, "limits.no_redis")
    assert alice.post(f"/app/batches/{batch}/confirm").status_code == 200
    assert len(office.waiting()) == 1

    office.services = office.app.extensions["tallybridge"] = before
    office.work()
    assert outcome(office, batch) == [("created", None)]


def test_a_redis_that_hangs_costs_a_page_less_than_a_second(office: Office) -> None:
    """It takes connections and never answers, as a machine does that has no memory left."""
    alice = office.ready()
    (crm_id,) = sendable(office, 1)
    batch = alice.order(crm_id)
    own = {path: timed(alice, path)[0] for path in ("/app/", "/app/invoices", "/app/batches", "/app/activity")}
    redis = int(office.services.redis.info("server")["process_id"])
    os.kill(redis, signal.SIGSTOP)
    try:
        for path, usual in own.items():
            took, page = 9.0, ""
            for _ in range(3):  # a busy machine is not a slow page
                time.sleep(1.1)  # each is the first to notice
                took, page = min((took, page), timed(alice, path))
                if took < 1 + usual:
                    break
            assert took < 1 + usual, path
            assert says(page, "limits.no_redis"), path
        assert alice.post(f"/app/batches/{batch}/confirm").status_code == 200
        assert len(office.waiting()) == 1
    finally:
        os.kill(redis, signal.SIGCONT)
    time.sleep(1.1)
    office.work()
    assert outcome(office, batch) == [("created", None)]


def timed(person: Person, path: str) -> tuple[float, str]:
    started = time.perf_counter()
    text = person.get(path).text
    return time.perf_counter() - started, text


def test_a_database_that_is_away_is_not_healthy(office: Office, tmp_path: Path) -> None:
    away = create_app(replace(office.config, database_url=f"sqlite:///{tmp_path}/none/none.db"))

    answer = away.test_client().get("/healthz")

    assert (answer.status_code, answer.json["ok"] if answer.json else None) == (503, False)


def test_figures_name_no_portal(office: Office) -> None:
    office.ready()

    text = office.client.get("/metrics").text

    assert "tallybridge_portals 1" in text
    assert "harbour" not in text.lower()


def test_the_doctor_finds_nothing_wrong_where_nothing_is(office: Office) -> None:
    good = replace(office.config, public_url="https://app.example", xero_authorize_url="https://x", xero_identity_url="https://x", xero_api_url="https://x")
    good = replace(good, bitrix24_oauth_urls=("https://o",), bitrix24_portals=())

    assert doctor.examine(office.services, good) == []


def test_the_doctor_names_what_is_away_and_what_is_open(office: Office, databases: Databases) -> None:
    without_redis(office)
    empty = make_services(office.config, create_app(replace(office.config, database_url=databases.empty("sqlite"))).extensions["tallybridge"].db)

    said = " ".join(doctor.examine(office.services, office.config) + doctor.examine(empty, None))

    for word in ("Redis does not answer", "PUBLIC_URL", "XERO_API_URL is not https", "BITRIX24_PORTALS", "flask db upgrade"):
        assert word in said or (word == "PUBLIC_URL" and "localhost" in office.config.public_url)


def test_the_doctor_notices_a_key_that_was_taken_out_too_early(office: Office) -> None:
    office.ready()
    config = replace(office.config, encryption_keys=(Fernet.generate_key().decode(),))
    try:
        create_app(config, office.services)

        assert any("holds no key" in fault for fault in doctor.examine(office.services, config))
    finally:
        create_app(office.config, office.services)


def test_the_command_reports_every_missing_name_and_everything_else_it_finds(databases: Databases) -> None:
    said = flask("doctor", DATABASE_URL=databases.empty("sqlite"), ENCRYPTION_KEYS="short", SECRET_KEY="short", REDIS_URL="redis://127.0.0.1:1")

    assert said.returncode == 1
    for word in ("PUBLIC_URL is missing", "XERO_CLIENT_ID is missing", "ENCRYPTION_KEYS holds a key", "SECRET_KEY is shorter", "Redis does not", "db upgrade"):
        assert word in said.stdout, said.stdout + said.stderr
    assert "Traceback" not in said.stderr


def test_a_start_names_everything_that_is_wrong_and_shows_no_stack() -> None:
    said = flask("worker", PUBLIC_URL="app.example", ENCRYPTION_KEYS="short", TALLYBRIDGE_PACE="fast", DATABASE_URL="mysql://x", REDIS_URL="nowhere")

    assert said.returncode == 1
    for word in ("PUBLIC_URL must be", "ENCRYPTION_KEYS holds", "TALLYBRIDGE_PACE must", "DATABASE_URL must", "REDIS_URL must", "XERO_WEBHOOK_KEY is missing"):
        assert word in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("command", ["db", "doctor", "new-key"])
def test_some_commands_start_with_a_half_filled_configuration(command: str) -> None:
    from plugin.cli import needs_of

    config = Config.from_env({"ENCRYPTION_KEYS": "short"}, needs_of(["flask", command]))

    assert config.encryption_keys == ()
