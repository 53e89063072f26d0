"""Connections to a partner are opened once and used by whichever thread comes next."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from plugin import wire as module
from plugin.wire import Addresses, Wire


class Partner:
    """Answers, keeps connections open, and counts them."""

    def __init__(self) -> None:
        self.connections = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                outer.connections += 1
                super().setup()

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.send_header("Set-Cookie", "who=first; Path=/")
                self.end_headers()
                self.wfile.write((b"ok", b"no")[bool(self.headers.get("Cookie"))])

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def partner() -> Iterator[Partner]:
    made = Partner()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def wire(partner: Partner) -> Wire:
    return Wire(Addresses((partner.url,), ()), "a test")


def on_a_thread(wire: Wire, url: str) -> bytes:
    heard: list[bytes] = []
    thread = threading.Thread(target=lambda: heard.append(wire.send("GET", url).body))
    thread.start()
    thread.join(5)
    return heard[0]


def test_a_thread_goes_on_with_the_connection_of_another(wire: Wire, partner: Partner) -> None:
    assert [on_a_thread(wire, partner.url) for _ in range(3)] == [b"ok"] * 3
    assert partner.connections == 1


def test_what_one_thread_was_told_to_keep_no_other_says(wire: Wire, partner: Partner) -> None:
    """A cookie of one person's call is not said in another's."""
    assert wire.send("GET", partner.url).body == b"ok"
    assert wire.send("GET", partner.url).body == b"ok"


def test_a_connection_that_was_idle_for_long_is_not_trusted(wire: Wire, partner: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_OPEN", 0.2)
    on_a_thread(wire, partner.url)
    time.sleep(0.3)
    on_a_thread(wire, partner.url)
    assert partner.connections == 2
