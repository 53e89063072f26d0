"""The addresses of the sandbox: held from the moment they are named, so that suites which start at once cannot take them from each other."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest
import requests

from sandbox.serve import Sandbox
from tests.running import free_port


def test_a_named_address_is_held_before_anybody_serves_on_it_and_free_after_the_end() -> None:
    sandbox = Sandbox()
    urls = [sandbox.settings.xero_url, sandbox.settings.oauth_url, *sandbox.settings.portal_urls.values()]
    ports = [int(urlsplit(url).port or 0) for url in urls]
    for port in ports:
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", port))

    sandbox.start()
    try:
        assert requests.get(sandbox.settings.xero_url, timeout=5).status_code < 500
    finally:
        sandbox.stop()

    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


def test_a_free_port_stays_ours_and_a_server_of_ours_may_listen_there() -> None:
    port = free_port()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))

    with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port), timeout=5):
        pass
