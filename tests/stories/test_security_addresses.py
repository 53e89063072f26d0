"""Where the app talks to: never inwards, never where a redirect or a renamed host points, and its secrets only to servers that are named."""

from __future__ import annotations

import hmac
import ipaddress
import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from plugin.config import Config
from plugin.domain.problems import Problem
from plugin.models import Portal
from plugin.wire import Addresses, NoAnswer, Wire
from sandbox.serve import Sandbox
from tests.stories.office import Office

PLUGIN = Path(__file__).parents[2] / "plugin"
NAMED = "https://named.example"

INWARD = (
    "127.0.0.1", "127.8.9.10", "0.0.0.0", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2001:db8::1",
)  # fmt: skip
OUTWARD = ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34", "64:ff9b::5db8:d822")

#: Whatever a partner could name as its address; none of them may be talked to.
REFUSED = (
    "http://public.example/rest/", "ftp://public.example/", "file:///etc/passwd", "gopher://public.example:6379/_FLUSHALL", "//public.example/", "", "https://",
    "https:///rest/", "https://user@public.example/", "https://named.example@public.example/", "https://public.example\\@named.example/",
    "https://public.example\\.named.example/", "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[fe80::1%25eth0]/", "https://127.0.0.1/",
    "https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://0/", "https://localhost/", "https://a.localhost/",
    "https://public.example:99999/", "https://public.example:0/", "https://public.example:x/", "https://[::1",
    "https://públic.example/", "https://public.example%2e/", "https://public example/", "https://public.example\x00/", "javascript:alert(1)",
)  # fmt: skip


def names(monkeypatch: pytest.MonkeyPatch, *answers: tuple[str, ...]) -> list[str]:
    """Name servers that answer so, one answer after the other, the last for ever; numbers are read as every C library does."""
    asked: list[str] = []

    def look_up(host: Any, port: Any, *rest: Any, **more: Any) -> list[Any]:
        asked.append(str(host))
        try:
            found: tuple[str, ...] = (socket.inet_ntoa(socket.inet_aton(host)),)
        except OSError:
            local = host in ("localhost", "a.localhost")
            found = ("127.0.0.1",) if local else (host,) if ":" in host else answers[min(len(asked), len(answers)) - 1]
        family = {4: socket.AF_INET, 6: socket.AF_INET6}
        return [(family[ipaddress.ip_address(one.partition("%")[0]).version], socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


def wire() -> Wire:
    return Wire(Addresses((NAMED,), ()), "test")


@pytest.mark.parametrize("address", INWARD)
def test_a_name_that_leads_inwards_is_refused_before_a_connection_is_made(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    names(monkeypatch, (address,))
    with pytest.raises(Problem) as refused:
        wire().send("POST", "https://public.example/rest/profile", body=b"auth=secret")
    assert refused.value.code == "wire.address_refused"


@pytest.mark.parametrize("address", INWARD)
def test_one_inward_address_among_public_ones_is_one_too_many(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    names(monkeypatch, (OUTWARD[0], address))
    with pytest.raises(Problem):
        Addresses((), ()).confirm("https://public.example/")


@pytest.mark.parametrize("address", OUTWARD)
def test_public_addresses_are_no_obstacle(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    names(monkeypatch, (address,))
    Addresses((), ()).confirm("https://public.example/")


@pytest.mark.parametrize("url", REFUSED)
def test_what_is_no_plain_https_address_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    names(monkeypatch, (OUTWARD[0],))
    with pytest.raises(Problem) as refused:
        wire().send("GET", url)
    assert refused.value.code == "wire.address_refused"


@pytest.mark.parametrize("url", [one for one in REFUSED if "localhost" not in one and not re.search(r"//[0-9.x\[]", one)])
def test_nor_may_it_be_a_portal(url: str) -> None:
    assert not Addresses((), ()).portal_allowed(url)
    assert not Addresses((), ("https://*.named.example",)).portal_allowed(url)


def test_a_list_of_portals_excludes_all_others() -> None:
    addresses = Addresses((), ("https://*.bitrix24.nz", "http://10.0.0.7:8080"))
    assert addresses.portal_allowed("https://acme.bitrix24.nz/rest/")
    assert addresses.portal_allowed("http://10.0.0.7:8080/rest/")
    for url in (
        "https://acme.bitrix24.com/",
        "http://acme.bitrix24.nz/",
        "https://acme.bitrix24.nz.evil.example/",
        "https://evil.example/.bitrix24.nz",
        "http://10.0.0.7/",
    ):
        assert not addresses.portal_allowed(url), url


class Listener:
    """A service inside the network that should never hear a byte."""

    def __init__(self) -> None:
        self.heard = b""
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.server.getsockname()[1])
        self.called = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        connection, _ = self.server.accept()
        connection.settimeout(2)
        try:
            self.heard = connection.recv(100)
        except OSError:
            self.heard = b""
        connection.close()
        self.called.set()


@pytest.fixture
def listener() -> Iterator[Listener]:
    one = Listener()
    yield one
    one.server.close()


def test_a_name_that_changes_its_mind_after_it_was_looked_up_hears_nothing(monkeypatch: pytest.MonkeyPatch, listener: Listener) -> None:
    asked = names(monkeypatch, (OUTWARD[0],), ("127.0.0.1",))
    with pytest.raises(Problem) as refused:
        wire().send("POST", f"https://rebound.example:{listener.port}/rest/profile", body=b"auth=secret")
    assert refused.value.code == "wire.address_refused"
    assert len(asked) == 2
    assert listener.called.wait(5)
    assert listener.heard == b""


def test_a_redirect_is_an_answer_and_never_followed(sandbox: Sandbox) -> None:
    sandbox.xero.controls.fail("status", status=302, headers={"Location": f"{sandbox.settings.oauth_url}/rest/app.info"})
    talking = Wire(Addresses((sandbox.settings.xero_url,), ()), "test")
    assert talking.send("GET", f"{sandbox.settings.xero_url}/connections").status == 302
    assert not sandbox.bitrix24.controls.calls


def test_proxies_and_netrc_of_the_machine_are_not_used(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, listener: Listener) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{listener.port}")
    talking = Wire(Addresses((sandbox.settings.xero_url,), ()), "test")
    assert talking.send("GET", f"{sandbox.settings.xero_url}/connections").status == 401
    assert not listener.called.is_set()


@pytest.fixture
def office(sandbox: Sandbox, sqlite_url: str, redis_url: str) -> Iterator[Office]:
    sandbox.bitrix24.controls.switches.set("limits", "off")  # many openings at once are not what is asked here
    running = Office(sandbox, sqlite_url, redis_url)
    yield running
    running.close()


ELSEWHERE = ("http://127.0.0.1:{port}/rest/", "https://127.0.0.1:{port}/rest/", "https://evil.example/rest/", "http://[::1]:{port}/", "x", "https://h:w/", "")


def test_addresses_in_an_opening_are_claims(office: Office, listener: Listener) -> None:
    sandbox = office.sandbox
    portal = sandbox.bitrix24.portals["harbour"]
    portal.install(1)
    for claim in ELSEWHERE[:-1]:
        for name in ("SERVER_ENDPOINT", "DOMAIN", "PROTOCOL"):
            opening = portal.open_app(1)
            value = claim.format(port=listener.port)
            fields = {**opening.fields, name: value.rpartition("//")[2].strip("/") if name == "DOMAIN" else value}
            answer = office.client.post(f"/bitrix24{opening.url.partition('/bitrix24')[2]}", data=fields)
            assert answer.status_code == (409 if name == "DOMAIN" else 200), (name, claim, answer.text)
    assert not listener.called.is_set()
    assert {one.path for one in sandbox.bitrix24.controls.calls if b"client_secret" in one.body} <= {"/oauth/token/"}


def test_an_authorisation_server_that_names_another_address_is_not_followed(office: Office, listener: Listener) -> None:
    sandbox = office.sandbox
    portal = sandbox.bitrix24.portals["harbour"]
    portal.install(1)
    for endpoint in ELSEWHERE:
        opening = portal.open_app(1)
        said = endpoint.format(port=listener.port)
        install = {"installed": True, "status": "F", "domain": "x", "client_endpoint": said, "member_id": portal.member_id}
        body = json.dumps({"result": {"client_id": sandbox.settings.bitrix24_client_id, "user_id": 1, "scope": "crm", "install": install}})
        sandbox.bitrix24.controls.fail("status", path="/rest/app.info", status=200, body=body, times=9)
        host = said.partition("//")[2].partition("/")[0] or "x"

        answer = office.client.post("/bitrix24/app", data={**opening.fields, "DOMAIN": host})
        event = {"event": "ONAPPINSTALL", "auth[member_id]": portal.member_id, "auth[access_token]": opening.fields["AUTH_ID"], "auth[application_token]": "my"}
        told = office.client.post("/bitrix24/events", data=event)

        sandbox.bitrix24.controls.faults.clear()
        assert answer.status_code == 409, (endpoint, answer.text)
        assert told.status_code == 403, endpoint
    assert not listener.called.is_set()
    with office.services.db.reading() as session:
        assert not session.scalars(select(Portal.id)).all()


def test_without_a_name_server_nothing_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: Any, **__: Any) -> Any:
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    with pytest.raises(NoAnswer) as none:
        wire().send("GET", "https://public.example/")
    assert not none.value.sent


def test_secrets_are_compared_in_constant_time() -> None:
    """By reading: wherever something secret is compared, hmac.compare_digest does it; the pass is itsdangerous' work, which does the same."""
    assert callable(hmac.compare_digest)
    places = {path.relative_to(PLUGIN).as_posix() for path in PLUGIN.rglob("*.py") if "compare_digest(" in path.read_text()}
    assert {"bitrix24/launch.py", "xero/webhooks.py", "usecases/connect_xero.py"} <= places
    careless = re.compile(
        r"(application_token|cookie_hash|signature|client_secret)\s*(==|!=)|(==|!=)\s*\w*\.?(application_token|cookie_hash|signature|client_secret)"
    )
    found = [f"{path.relative_to(PLUGIN)}: {line}" for path in PLUGIN.rglob("*.py") for line in path.read_text().splitlines() if careless.search(line)]
    assert found == []


def test_configured_addresses_must_be_addresses() -> None:
    from plugin.config import ConfigError

    with pytest.raises(ConfigError) as refused:
        Config.from_env({"XERO_API_URL": "javascript:alert(1)", "PUBLIC_URL": "app"})
    assert "XERO_API_URL" in str(refused.value)
    assert "PUBLIC_URL" in str(refused.value)
