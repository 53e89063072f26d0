"""Tokens and secrets lie nowhere in the open: not in logs, pages, addresses, payloads, rows, the file, Redis or errors."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from sqlalchemy import select

from plugin.models import Activity, Base, Call, Callback, Job
from sandbox.serve import Sandbox
from tests.stories.main_story import change_quantity, outcomes, sendable
from tests.stories.office import Person
from tests.stories.patience import PatientOffice


@pytest.fixture
def office(sandbox: Sandbox, sqlite_url: str, redis_url: str) -> Iterator[PatientOffice]:
    running = PatientOffice(sandbox, sqlite_url, redis_url)
    yield running
    running.close()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Everything that any logger says at DEBUG, as a file would hold it."""
    lines: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(logging.Formatter("%(name)s %(message)s").format(record))

    keeper, root = Keeper(logging.DEBUG), logging.getLogger()
    level, chatty = root.level, [logging.getLogger(name) for name in ("sqlalchemy.engine", "urllib3", "plugin", "werkzeug", "rq")]
    levels = [one.level for one in chatty]
    root.addHandler(keeper)
    root.setLevel(logging.DEBUG)
    for one in chatty:
        one.setLevel(logging.DEBUG)
    yield lines
    root.removeHandler(keeper)
    root.setLevel(level)
    for one, before in zip(chatty, levels, strict=True):
        one.setLevel(before)


def secrets_of(office: PatientOffice) -> dict[str, str]:
    """All that is secret, by what it is: what the partners gave out, and what the configuration holds."""
    config, sandbox = office.config, office.sandbox
    found = {
        "SECRET_KEY": config.secret_key,
        "BITRIX24_CLIENT_SECRET": config.bitrix24_client_secret,
        "XERO_CLIENT_SECRET": config.xero_client_secret,
    }
    found |= {f"ENCRYPTION_KEYS {number}": key for number, key in enumerate(config.encryption_keys)}
    found |= {f"XERO_WEBHOOK_KEY {number}": key for number, key in enumerate(config.xero_webhook_keys)}
    tokens = sandbox.bitrix24.tokens
    found |= {f"Bitrix24 access {number}": one for number, one in enumerate(tokens._by_access)}
    found |= {f"Bitrix24 refresh {number}": one for number, one in enumerate(tokens._by_refresh)}
    for name, portal in sandbox.bitrix24.portals.items():
        if portal.installation is not None:
            found[f"application token of {name}"] = portal.installation.application_token
    for number, call in enumerate(sandbox.xero.controls.calls):
        if call.path.endswith("/connect/token"):
            for word in (b"access_token", b"refresh_token", b"id_token"):
                for value in re.findall(rb'"%s": ?"([^"]+)"' % word, call.answer):
                    found[f"Xero {word.decode()} {number}"] = value.decode()
            for word in (b"refresh_token", b"code", b"code_verifier"):
                for value in re.findall(rb"(?:^|&)%s=([^&]+)" % word, call.body):
                    found[f"Xero {word.decode()} {number} sent"] = value.decode()
    return found


def seek(place: str, text: str | bytes, secrets: dict[str, str]) -> list[str]:
    """Which secrets this holds, in the open or as an address would write them."""
    whole = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    return [f"{name} in {place}" for name, secret in secrets.items() if secret.encode() in whole or quote(secret, safe="").encode() in whole]


def a_working_day(office: PatientOffice) -> tuple[Person, list[str]]:
    """Install, connect, send, renew both tokens, fail in many ways, meet a webhook and events, edit, disconnect. Returns the pages seen."""
    pages: list[str] = []
    alice = office.ready()
    pages.append(alice.html)
    crm = office.sandbox.bitrix24.portals["harbour"]
    first, second, third = sendable(office, 3)
    batch = alice.send(first)
    office.pass_time(4_000)
    for kind, more in (("status", {"path": "/oauth/token", "status": 500}), ("html", {"path": "/rest/", "status": 200}), ("cut", {"path": "/rest/"})):
        office.sandbox.bitrix24.controls.fail(kind, **more)
        pages.append(alice.get("/app/invoices").text)
    office.sandbox.bitrix24.controls.faults.clear()
    office.sandbox.xero.controls.fail("status", path="/connect/token", status=500)
    office.sandbox.xero.controls.fail("cut", path="/Invoices")
    again = alice.order(second)
    alice.post(f"/app/batches/{again}/confirm")
    office.work()
    assert outcomes(office, again) == [("created", None)]
    office.pass_time(4_000)
    alice = office.open()
    pages.append(alice.html)
    change_quantity(crm, first, 5)
    alice.send(first)
    sam = office.open(user=2)
    crm.update_app(1)
    office.client.post("/bitrix24/events", data={"event": "ONAPPINSTALL", "auth[member_id]": crm.member_id, "auth[access_token]": "forged"})
    paths = ("/app/", "/app/invoices", "/app/batches", f"/app/batches/{batch}", "/app/activity", "/app/setup", "/app/setup/connection", "/app/nothing")
    pages += [alice.get(path).text for path in paths]
    pages += [sam.html, sam.get("/app/setup").text, sam.get("/app/invoices").text]
    pages += [office.client.get(path).text for path in ("/", "/healthz", "/metrics", "/xero/callback?code=x&state=y", "/nothing", "/app/")]
    alice.order(third)
    office.sandbox.xero.controls.fail("status", path="/connections", method="DELETE", status=500)
    pages.append(alice.post("/app/setup/connection/disconnect").text)
    office.work()
    return alice, pages


def test_no_secret_lies_in_the_open(office: PatientOffice, logged: list[str], redis_url: str) -> None:
    _, pages = a_working_day(office)
    secrets = secrets_of(office)
    assert len(secrets) > 20, sorted(secrets)
    for kind in ("Bitrix24 access", "Bitrix24 refresh", "Xero access_token", "Xero refresh_token", "Xero code"):
        assert any(name.startswith(kind) for name in secrets), kind

    found = sorted({f"{one}: {line[:90]}" for line in logged for one in seek("the logs", line, secrets)})
    # A frame pass is made for its page; nothing else that is secret is.
    for number, page in enumerate(pages):
        found += seek(f"page {number}", page, secrets)
    partners = {"Bitrix24": office.sandbox.bitrix24.controls.calls, "Xero": office.sandbox.xero.controls.calls}
    queries = {f"{name} {one.path}": one.query for name, calls in partners.items() for one in calls if not sent_by_the_browser(one.path)}
    found += [line for place, query in queries.items() for line in seek(f"the address of {place}", query, secrets)]
    office.services.call_log.flush()  # what was said to the partners lies in the rows by now, with its bodies
    held = rows(office)
    for word in ("/oauth/token", "/connect/token", "/crm.item.list", "/api.xro/2.0/Invoices"):
        assert word in held["table exchange"], word
    found += [line for name, text in held.items() for line in seek(name, text, secrets)]
    found += [line for name, text in in_redis(office).items() for line in seek(f"Redis {name}", text, secrets)]
    assert files(office)
    for path in files(office):
        found += seek(path.name, path.read_bytes(), secrets)
    assert found == []


def sent_by_the_browser(path: str) -> bool:
    """Xero's consent page is visited by a browser, with a state and a challenge that are good for this once."""
    return "/identity/connect/authorize" in path


def rows(office: PatientOffice) -> dict[str, str]:
    """Every column of every row as the database holds it, sealed ones sealed."""
    with office.services.db.reading() as session:
        raw = session.connection()
        return {
            f"table {table.name}": "\n".join(str(tuple(row)) for row in raw.exec_driver_sql(f'SELECT * FROM "{table.name}"'))
            for table in Base.metadata.sorted_tables
        }


def in_redis(office: PatientOffice) -> dict[str, bytes]:
    """Every key with what it holds."""
    redis = office.services.redis
    return {key.decode("utf-8", "replace"): key + (redis.dump(key) or b"") for key in redis.keys("*")}


def files(office: PatientOffice) -> list[Path]:
    """The database's file and those beside it."""
    path = Path(urlsplit(office.config.database_url).path)
    return [one for one in path.parent.iterdir() if one.name.startswith(path.name)]


def test_what_is_kept_of_messages_and_work_names_no_token(office: PatientOffice) -> None:
    a_working_day(office)
    with office.services.db.reading() as session:
        for model, column in ((Job, "payload"), (Callback, "body"), (Activity, "params"), (Call, "elements")):
            for row in session.scalars(select(model)):
                written = str(getattr(row, column))
                assert not re.search(r"auth\[|access_token|refresh_token|application_token|client_secret", written), (model.__name__, written)


def test_a_crash_tells_its_reference_and_not_its_cause(office: PatientOffice, logged: list[str]) -> None:
    alice = office.install()
    office.services.db.engine.dispose()
    with office.services.db.transaction() as tx:
        tx.connection().exec_driver_sql("ALTER TABLE activity RENAME TO activity_gone")
    answer = alice.get("/app/activity")
    assert answer.status_code == 500
    reference = re.search(r"Reference: ([0-9a-f]{8})", answer.text)
    assert reference
    assert any(reference[1] in line for line in logged)
    assert "activity_gone" not in answer.text
    assert "sqlite" not in answer.text.lower()
    assert "Traceback" not in answer.text
    assert seek("the page", answer.text, secrets_of(office)) == []


def test_a_server_that_reads_tokens_from_the_query_only_does_not_bring_them_into_the_logs(office: PatientOffice, logged: list[str]) -> None:
    office.sandbox.bitrix24.controls.switches.set("oauth_token_verb", "get_only")
    alice = office.ready()
    office.pass_time(4_000)
    alice.send(*sendable(office, 1))
    queries = [one.query for one in office.sandbox.bitrix24.controls.calls if one.path == "/oauth/token/" and one.method == "GET"]
    assert any(office.config.bitrix24_client_secret in one for one in queries)

    assert seek("the logs", "\n".join(logged), secrets_of(office)) == []
