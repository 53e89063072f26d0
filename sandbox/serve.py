"""Both stand-ins on real sockets, in one process: for the demo, and for tests that look inside."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

from cheroot import wsgi

from sandbox.bitrix24 import Bitrix24
from sandbox.settings import PORTALS, SandboxSettings
from sandbox.xero import Xero


class _Gateway(wsgi.Gateway_10):
    """Hands the socket to the application, so that a fault can cut it."""

    def get_environ(self) -> dict[str, Any]:  # type: ignore[override]  # cheroot's own annotation is wrong
        environ: dict[str, Any] = super().get_environ()  # type: ignore[no-untyped-call]
        environ["sandbox.socket"] = self.req.conn.socket
        return environ


class _Server(wsgi.Server):
    """Serves on a socket that is bound already, so that nobody else can have its port in between."""

    def __init__(self, held: socket.socket, app: Callable[..., Any]) -> None:
        self._held = held
        super().__init__(held.getsockname(), app, numthreads=8, max=64, request_queue_size=128, timeout=30, shutdown_timeout=1)
        self.gateway = _Gateway

    def bind(self, family: int, type: int, proto: int = 0) -> socket.socket:
        self._held.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket: socket.socket = self._held
        return self._held


class _Listener:
    """One address: bound at once, so that its port is known before anybody serves on it."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_server((host, port))
        self.host, self.port = host, self._socket.getsockname()[1]
        self._server: _Server | None = None

    def serve(self, app: Callable[..., Any]) -> None:
        self._server = _Server(self._socket, app)
        self._server.prepare()
        threading.Thread(target=self._server.serve, daemon=True, name=f"sandbox-{self.port}").start()

    def stop(self) -> None:
        if self._server is None:
            self._socket.close()
        else:
            self._server.stop()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


class Sandbox:
    """Bitrix24 (its portals and authorisation server) and Xero, listening. Ports of 0 are chosen by the system."""

    def __init__(self, settings: SandboxSettings | None = None, ports: dict[str, int] | None = None) -> None:
        self.settings = settings or SandboxSettings()
        ports = ports or {}
        self._listeners = {name: _Listener(self.settings.host, ports.get(name, 0)) for name in (*PORTALS, "oauth", "xero")}
        self.settings.portal_urls = {name: self._listeners[name].url for name in PORTALS}
        self.settings.oauth_url = self._listeners["oauth"].url
        self.settings.xero_url = self._listeners["xero"].url
        self.bitrix24 = Bitrix24(self.settings)
        self.xero = Xero(self.settings)

    def start(self) -> Sandbox:
        for name in PORTALS:
            self._listeners[name].serve(self.bitrix24.portal_app(name))
        self._listeners["oauth"].serve(self.bitrix24.oauth_app())
        self._listeners["xero"].serve(self.xero.app())
        return self

    def stop(self) -> None:
        for listener in self._listeners.values():
            listener.stop()

    def reset(self) -> None:
        """Both partners as freshly seeded; levers at their defaults."""
        self.bitrix24.reset()
        self.xero.reset()
