"""Rate limits, idempotency keys, faults and webhooks of the Xero stand-in (X§3, X§8, X§10)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.serve import Sandbox
from sandbox.xero import switches
from sandbox.xero.books import Event
from tests.sandbox.xero_calls import Api


@pytest.fixture
def api(sandbox: Sandbox) -> Api:
    sandbox.xero.controls.switches.set("webhooks", "off")
    return Api(sandbox)


# --- Limits


def test_the_headers_tell_what_is_left(api: Api) -> None:
    answer = api.call("GET", "Organisation")
    headers = answer.headers
    assert (headers["X-MinLimit-Remaining"], headers["X-DayLimit-Remaining"], headers["X-AppMinLimit-Remaining"]) == ("59", "4999", "9999")
    assert headers["Xero-Correlation-Id"]
    api.xero.controls.switches.set("limit_headers", "absent")
    assert "X-MinLimit-Remaining" not in api.call("GET", "Organisation").headers


@pytest.mark.parametrize("window", ["fixed", "rolling"])
def test_the_sixty_first_call_of_a_minute(api: Api, window: str) -> None:
    api.xero.controls.switches.set("minute_window", window)
    for _ in range(60):
        assert api.call("GET", "Organisation").status_code == 200
    refused = api.call("GET", "Organisation")
    assert (refused.status_code, refused.content, refused.headers["X-Rate-Limit-Problem"]) == (429, b"", "minute")
    assert "Content-Type" not in refused.headers
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["X-MinLimit-Remaining"] == "0"
    api.xero.controls.clock.advance(int(refused.headers["Retry-After"]) + 1)
    assert api.call("GET", "Organisation").status_code == 200


@pytest.mark.parametrize("window", ["fixed", "rolling"])
def test_the_day(api: Api, window: str) -> None:
    api.xero.controls.switches.set("limits", "starter")
    api.xero.controls.switches.set("day_window", window)
    api.xero.actions.leave(api.tenant, day=1)
    assert api.call("GET", "Organisation").headers["X-DayLimit-Remaining"] == "0"
    refused = api.call("GET", "Organisation")
    assert refused.headers["X-Rate-Limit-Problem"] == "day"
    assert int(refused.headers["Retry-After"]) > 3600


@pytest.mark.parametrize("problem", ["appminute", "minute"])
def test_the_minute_of_the_whole_app(api: Api, problem: str) -> None:
    api.xero.controls.switches.set("app_minute_problem", problem)
    api.xero.world.limits.app.add(api.xero.controls.clock.now().timestamp(), 10_000)
    assert api.call("GET", "Organisation").headers["X-Rate-Limit-Problem"] == problem
    connections = f"{api.sandbox.settings.xero_url}/connections"
    assert requests.get(connections, headers=api.headers, timeout=10).status_code == 200
    api.xero.controls.switches.set("connections_counted", "yes")
    assert requests.get(connections, headers=api.headers, timeout=10).status_code == 429


def test_five_at_once_and_a_sixth_without_retry_after(api: Api) -> None:
    api.xero.controls.latency.append((r"/Organisation$", "GET", 0.4))
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: requests.get(f"{api.sandbox.settings.xero_url}/api.xro/2.0/Organisation", headers=api.headers, timeout=10), range(6)))
    refused = [one for one in answers if one.status_code == 429]
    assert len(refused) == 1
    assert refused[0].headers["X-Rate-Limit-Problem"] == "concurrent"
    assert "Retry-After" not in refused[0].headers


@pytest.mark.parametrize(("position", "left"), [("yes", "58"), ("no", "59")])
def test_whether_refused_calls_count(api: Api, position: str, left: str) -> None:
    api.xero.controls.switches.set("refused_calls_count", position)
    assert api.call("GET", "Invoices/none-such").status_code == 404
    assert api.call("GET", "Organisation").headers["X-MinLimit-Remaining"] == left


def test_rapid_sync_lifts_the_limits_of_a_new_connection(api: Api) -> None:
    api.xero.controls.switches.set("rapid_sync", "on")
    api.xero.actions.leave(api.tenant, minute=0, day=0)
    assert api.call("GET", "Organisation").status_code == 200


def test_organisations_have_limits_of_their_own(api: Api) -> None:
    api.xero.actions.leave(api.tenant, minute=0)
    other = Api(api.sandbox, tenant=api.xero.AUSTRALIA)
    assert api.call("GET", "Organisation").status_code == 429
    assert other.call("GET", "Organisation").status_code == 200
    api.xero.actions.limits(api.tenant, on=False)
    assert api.call("GET", "Organisation").status_code == 200


def test_an_organisation_that_is_away(api: Api) -> None:
    api.xero.actions.organisation_set(api.tenant, offline=True)
    answer = api.call("GET", "Organisation")
    assert (answer.status_code, answer.text) == (503, "The Organisation is offline")


# --- Idempotency


def keyed(api: Api, key: str, body: dict[str, Any], verb: str = "PUT") -> requests.Response:
    return api.call(verb, "Invoices", body, headers={"Idempotency-Key": key})


def test_a_key_replays_the_exact_answer_for_six_minutes(api: Api) -> None:
    body = {"Invoices": [api.invoice()]}
    first, second = keyed(api, "k1", body), keyed(api, "k1", body)
    assert first.content == second.content
    assert sum(one.number == "B24-1" for one in api.xero.invoices()) == 1
    assert second.headers["X-MinLimit-Remaining"] == "58"
    api.xero.controls.clock.advance(361)
    assert keyed(api, "k1", body).json()["Elements"][0]["ValidationErrors"] == [{"Message": "Invoice # must be unique."}]


def test_errors_are_replayed_too(api: Api) -> None:
    body = {"Invoices": [api.invoice("HV-1001")]}
    first = keyed(api, "k1", body)
    api.xero.controls.switches.set("number_of_voided", "free")
    api.xero.void("HV-1001")
    assert (first.status_code, keyed(api, "k1", body).content) == (400, first.content)


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_key_with_another_request(api: Api, form: str) -> None:
    api.xero.controls.switches.set("idempotency_conflict_body", form)
    keyed(api, "k1", {"Invoices": [api.invoice("B24-1")]})
    answer = keyed(api, "k1", {"Invoices": [api.invoice("B24-2")]})
    assert answer.status_code == 400
    assert "Idempotency Key: k1 is used with a different request." in answer.text
    assert keyed(api, "k" * 129, {"Invoices": [api.invoice("B24-3")]}).status_code == 400


@pytest.mark.parametrize(("position", "statuses"), [("wait", [200, 200]), ("conflict", [200, 409])])
def test_a_key_whose_first_call_still_runs(api: Api, position: str, statuses: list[int]) -> None:
    api.xero.controls.switches.set("idempotency_running", position)
    api.xero.controls.latency.append((r"/Invoices$", "PUT", 0.3))
    body, headers = json.dumps({"Invoices": [api.invoice()]}), api.headers | {"Idempotency-Key": "k1", "Content-Type": "application/json"}
    url = f"{api.sandbox.settings.xero_url}/api.xro/2.0/Invoices"
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: requests.put(url, data=body, headers=headers, timeout=10), range(2)))
    assert sorted(one.status_code for one in answers) == statuses
    assert sum(one.number == "B24-1" for one in api.xero.invoices()) == 1


def test_an_answer_that_was_lost_after_the_work(api: Api) -> None:
    api.xero.controls.fail("lost", path="/Invoices", method="PUT")
    body = {"Invoices": [api.invoice()]}
    with pytest.raises(requests.ConnectionError):
        keyed(api, "k1", body)
    assert keyed(api, "k1", body).status_code == 200
    assert sum(one.number == "B24-1" for one in api.xero.invoices()) == 1


def test_a_key_whose_call_was_cut_before_the_work_is_fresh(api: Api) -> None:
    api.xero.controls.fail("status", path="/Invoices", method="PUT", status=503)
    body = {"Invoices": [api.invoice()]}
    assert keyed(api, "k1", body).status_code == 503
    assert keyed(api, "k1", body).status_code == 200


def test_calls_are_recorded_with_their_size(api: Api) -> None:
    api.write("PUT", "Invoices", api.invoice("B24-1"), api.invoice("B24-2"))
    assert api.xero.controls.calls[-1].detail == {"operation": "PUT Invoices", "elements": 2}


# --- Webhooks


class Receiver:
    """The app's end: checks signatures, keeps bodies, answers what it is told to."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                wanted = base64.b64encode(hmac.new(b"sandbox-webhook-key", body, hashlib.sha256).digest()).decode()
                good = hmac.compare_digest(wanted, self.headers["x-xero-signature"])
                if good and self.path == "/xero/webhooks":
                    outer.posts.append(json.loads(body))
                self.send_response(outer.status if good else 401)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for post in self.posts for event in post["events"]]


@pytest.fixture
def receiver(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    made = Receiver()
    monkeypatch.setattr(sandbox.settings, "app_url", f"http://localhost:{made.server.server_address[1]}")
    sandbox.xero.webhooks.delay = 0.02
    yield made
    sandbox.xero.webhooks.reset()
    made.server.shutdown()
    made.server.server_close()


def eventually(test: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_news_are_signed_numbered_and_batched(sandbox: Sandbox, receiver: Receiver) -> None:
    api = Api(sandbox)
    made = api.one("PUT", "Invoices", api.invoice())
    sandbox.xero.approve("INV-0002")
    sandbox.xero.pay("HV-1001")
    eventually(lambda: len(receiver.events) >= 3)
    event = receiver.events[0]
    assert (event["tenantId"], event["eventCategory"], event["eventType"], event["resourceId"]) == (api.tenant, "INVOICE", "CREATE", made["InvoiceID"])
    assert event["resourceUrl"].endswith(f"/Invoices/{made['InvoiceID']}")
    assert receiver.posts[0]["firstEventSequence"] == 1
    assert receiver.posts[-1]["lastEventSequence"] == len(receiver.events)


def test_news_of_bills_have_the_category_of_invoices(sandbox: Sandbox, receiver: Receiver) -> None:
    api = Api(sandbox)
    line = {"Description": "Timber", "UnitAmount": 10, "AccountCode": "300"}
    made = sandbox.xero.actions.create_bill(api.tenant, "Raumati Roasters", [line], "WM-1", "2026-11-02", "2026-11-22", "AUTHORISED")
    sandbox.xero.pay(made.id)
    wanted = [("INVOICE", "CREATE"), ("INVOICE", "UPDATE")]
    eventually(lambda: [(one["eventCategory"], one["eventType"]) for one in receiver.events if one["resourceId"] == made.id] == wanted)


def test_an_organisation_without_connection_sends_nothing(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.xero.approve("INV-0002")
    Api(sandbox)
    sandbox.xero.pay("HV-1001")
    eventually(lambda: bool(receiver.events))
    assert len(receiver.events) == 1


def test_a_failed_delivery_comes_again(sandbox: Sandbox, receiver: Receiver) -> None:
    Api(sandbox)
    receiver.status = 500
    sandbox.xero.pay("HV-1001")
    eventually(lambda: len(receiver.posts) == 1)
    receiver.status = 200
    eventually(lambda: len(receiver.posts) == 2)
    assert receiver.posts[0] == receiver.posts[1]


def test_held_news_wait_for_their_release(sandbox: Sandbox, receiver: Receiver) -> None:
    Api(sandbox)
    sandbox.xero.controls.switches.set("webhooks", "held")
    sandbox.xero.pay("HV-1001")
    time.sleep(0.2)
    assert (receiver.posts, sandbox.xero.webhooks.waiting) == ([], 1)
    assert requests.post(f"{sandbox.settings.xero_url}/_sandbox/webhooks/release", timeout=10).status_code == 200
    eventually(lambda: len(receiver.events) == 1)


def test_news_may_come_twice_in_any_order_or_never(sandbox: Sandbox, receiver: Receiver) -> None:
    positions = sandbox.xero.controls.switches
    positions.set("webhook_order", "shuffled")
    positions.set("webhook_copies", "two")
    sandbox.xero.webhooks.announce(sandbox.xero.HARBOUR, [Event("CONTACT", "UPDATE", str(number)) for number in range(20)])
    eventually(lambda: len(receiver.events) == 40)
    assert sorted(one["resourceId"] for one in receiver.posts[0]["events"]) == sorted(str(number) for number in range(20))
    assert [one["resourceId"] for one in receiver.posts[0]["events"]] != [str(number) for number in range(20)]
    positions.set("webhook_loss", "all")
    sandbox.xero.webhooks.announce(sandbox.xero.HARBOUR, [Event("CONTACT", "UPDATE", "lost")])
    eventually(lambda: sandbox.xero.webhooks.waiting == 0)
    time.sleep(0.1)
    positions.set("webhook_loss", "none")
    positions.set("webhook_type_case", "Update")
    sandbox.xero.webhooks.announce(sandbox.xero.HARBOUR, [Event("CREDITNOTE", "UPDATE", "last", {"Type": "ACCRECCREDIT", "Status": "PAID"})])
    eventually(lambda: len(receiver.events) == 42)
    assert receiver.posts[-1]["firstEventSequence"] == 22
    assert (receiver.events[-1]["eventType"], receiver.events[-1]["data"]["Status"]) == ("Update", "PAID")


def test_the_intent_to_receive(sandbox: Sandbox, receiver: Receiver) -> None:
    assert sandbox.xero.webhooks.intent_to_receive() == [200, 401, 200, 401]
    assert receiver.posts[0]["events"] == []
    assert receiver.posts[0]["firstEventSequence"] == 0


@pytest.mark.parametrize(("position", "news"), [("update", 1), ("none", 0)])
def test_news_of_a_void(sandbox: Sandbox, receiver: Receiver, position: str, news: int) -> None:
    Api(sandbox)
    sandbox.xero.controls.switches.set("webhook_void_event", position)
    sandbox.xero.void("HV-1001")
    sandbox.xero.pay("HV-1002")
    eventually(lambda: len(receiver.events) == 1 + news)


def test_a_reset_forgets_what_waits(sandbox: Sandbox, receiver: Receiver) -> None:
    Api(sandbox)
    sandbox.xero.controls.switches.set("webhooks", "held")
    sandbox.xero.pay("HV-1001")
    sandbox.reset()
    sandbox.xero.webhooks.delay = 0.02
    time.sleep(0.2)
    assert receiver.posts == []


# --- Switches


def test_every_switch_is_read_somewhere() -> None:
    code = "\n".join(one.read_text() for one in Path(switches.__file__).parent.glob("*.py") if one.name != "switches.py")
    unread = [name for name, _, _ in switches.ALL if f'"{name}"' not in code]
    assert unread == []
