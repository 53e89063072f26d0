"""Bitrix24's own Python SDK judges the stand-in: profile, lists, batches, renewed tokens, opening POST, event and robot call.

The SDK speaks https only and pins other packages backwards, so this runs in an environment of its own, whose packages
stand in `bitrix24.requirements.txt` beside this file, as `python -m tests.sandbox.live_oracles.bitrix24` from the top
of the tree. A throw-away certificate for this machine is made for the run. The SDK hard-codes the address of the
authorisation server; its constants with that address are pointed at the stand-in, nothing else of the SDK is touched.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cheroot import wsgi
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sandbox.bitrix24 import Bitrix24
from sandbox.bitrix24.php import flatten
from sandbox.settings import PORTALS, SandboxSettings

HOST = "127.0.0.1"


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for this machine, good for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Bitrix24 stand-in")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST)), x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, secret = folder / "certificate.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return chain, secret


def serve(chain: Path, secret: Path) -> Bitrix24:
    """The portals and the authorisation server over TLS."""
    settings = SandboxSettings(app_url=f"https://{HOST}:1")
    gates: dict[str, Callable[..., Any]] = {}
    for name in (*PORTALS, "oauth"):
        server = wsgi.Server((HOST, 0), lambda environ, start, name=name: gates[name](environ, start), numthreads=2)
        server.ssl_adapter = BuiltinSSLAdapter(str(chain), str(secret))
        server.prepare()
        threading.Thread(target=server.serve, daemon=True).start()
        url = f"https://{HOST}:{server.bind_addr[1]}"
        if name == "oauth":
            settings.oauth_url = url
        else:
            settings.portal_urls[name] = url
    bitrix24 = Bitrix24(settings)
    gates.update({name: bitrix24.portal_app(name) for name in PORTALS}, oauth=bitrix24.oauth_app())
    return bitrix24


class Oracle:
    """What the SDK says of the stand-in, one finding a line."""

    def __init__(self, bitrix24: Bitrix24) -> None:
        from b24pysdk import BitrixApp, BitrixToken, Client
        from b24pysdk.api.requesters.bitrix_oauth_requester import BitrixOAuthRequester

        real = BitrixOAuthRequester._BASE_OAUTH_URL
        for name, value in list(vars(BitrixOAuthRequester).items()):
            if isinstance(value, str) and value.startswith(real):
                setattr(BitrixOAuthRequester, name, value.replace(real, bitrix24.settings.oauth_url, 1))
        self.bitrix24, self.portal = bitrix24, bitrix24.portals["harbour"]
        self.portal.install_fully()
        self.opening = self.portal.open_app(1)
        self.app = BitrixApp(client_id=bitrix24.settings.bitrix24_client_id, client_secret=bitrix24.settings.bitrix24_client_secret)
        fields = self.opening.fields
        self.token = BitrixToken(domain=self.portal.domain, auth_token=fields["AUTH_ID"], refresh_token=fields["REFRESH_ID"], bitrix_app=self.app)
        self.client = Client(self.token)
        self.wrong = 0

    def check(self, what: str, got: Any, expected: Any) -> None:
        right = got == expected
        self.wrong += not right
        print(f"{'ok   ' if right else 'WRONG'} {what}" + ("" if right else f": {got!r}, not {expected!r}"))

    def calls(self) -> None:
        self.check("profile", self.client.profile().response.result["NAME"], "Alice")
        listed = self.client.crm.item.list(entity_type_id=31, select=["id", "accountNumber"], filter={"@id": [1, 2]}).response
        self.check("crm.item.list", [one["accountNumber"] for one in listed.result["items"]], ["HV-1001", "HV-1002"])
        self.check("its total", listed.total, 2)
        everything = self.token.call_list("crm.item.list", {"entityTypeId": 31, "select": ["id"]})
        self.check("all pages", len(everything["result"]), len(self.portal.invoices))
        fast = list(self.token.call_list_fast("crm.item.list", {"entityTypeId": 31, "select": ["id"]})["result"])
        self.check("all pages without counting", sorted(one["id"] for one in fast), sorted(self.portal.invoices))

    def batches(self) -> None:
        answer = self.token.call_batch(
            {
                "me": ("profile", {}),
                "rows": ("crm.item.productrow.list", {"filter": {"=ownerType": "SI", "=ownerId": 1}}),
                "bad": ("crm.item.get", {"entityTypeId": 31, "id": 9999}),
            }
        )
        result = answer["result"]
        self.check("batch", result["result"]["me"]["NAME"], "Alice")
        self.check("batch with a filter", len(result["result"]["rows"]["productRows"]), 2)
        self.check("batch with an error", result["result_error"]["bad"]["error"], "NOT_FOUND")
        many = self.token.call_batches([("crm.item.get", {"entityTypeId": 31, "id": number}) for number in range(1, 61)])
        self.check("sixty commands in two batches", len(many["result"]["result"]), 60)

    def tokens(self) -> None:
        before = self.token.auth_token
        self.bitrix24.controls.clock.advance(3700)
        self.check("an expired token is renewed on the way", self.client.profile().response.result["ID"], "1")
        self.check("by a new one", self.token.auth_token != before, True)
        info = self.token.get_app_info()
        self.check("trusted app.info", (info.result.client_id, info.result.install.member_id), (self.app.client_id, self.portal.member_id))
        from b24pysdk.errors import BitrixAPIError

        try:
            self.client.crm.item.get(entity_type_id=31, bitrix_id=9999).response  # noqa: B018
        except BitrixAPIError as refusal:
            self.check("an error has its code and status", (refusal.error, refusal.status_code), ("NOT_FOUND", 400))
        else:
            self.check("an error", "none", "NOT_FOUND")

    def messages(self) -> None:
        from b24pysdk.credentials import OAuthEventData, OAuthPlacementData, OAuthWorkflowData

        opening = self.portal.open_app(1)
        query = dict(parse_qsl(urlsplit(opening.url).query))
        placement = OAuthPlacementData.from_dict({**query, **opening.fields})
        self.check("the opening POST is genuine", placement.validate_against_app_info(self.token.get_app_info().result), True)
        delivery, handler = self.bitrix24.delivery, f"{self.bitrix24.settings.app_url}/x"
        self.bitrix24.controls.switches.set("event_auth_extras", "all")  # the SDK insists on `expires`, which the docs' samples lack
        self.token.call_method("event.bind", {"event": "ONCRMDYNAMICITEMUPDATE_31", "handler": handler})
        self.token.call_method("bizproc.robot.add", {"CODE": "oracle", "HANDLER": handler, "NAME": "Oracle", "AUTH_USER_ID": 1})
        self.portal.change_invoice(1, title="For the oracle")
        self.portal.call_robot("oracle", 31, 1, {"a": "b"})
        delivery.flush()
        parcels = {one.parcel.name: dict(flatten(one.parcel.body)) for one in delivery.log}
        event = OAuthEventData.from_dict(parcels["ONCRMDYNAMICITEMUPDATE_31"])
        self.check("an event", (event.data, event.auth.member_id), ({"FIELDS": {"ID": "1", "ENTITY_TYPE_ID": "31"}}, self.portal.member_id))
        robot = OAuthWorkflowData.from_dict(parcels["robot:oracle"])
        self.check("a robot call", (robot.code, robot.auth.user_id), ("oracle", 1))


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        chain, secret = certificate(Path(folder))
        os.environ["REQUESTS_CA_BUNDLE"] = str(chain)
        for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            os.environ.pop(name, None)
        oracle = Oracle(serve(chain, secret))
        for part in (oracle.calls, oracle.batches, oracle.tokens, oracle.messages):
            part()
        print(f"{oracle.wrong} wrong")
        sys.stdout.flush()
        return 1 if oracle.wrong else 0


if __name__ == "__main__":
    code = main()
    os._exit(code)  # the servers' threads end with the process
