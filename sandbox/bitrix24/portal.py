"""One Bitrix24 portal: who it is, what it holds, and what it tells the app."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from datetime import datetime, tzinfo
from typing import Any
from urllib.parse import urlencode, urlsplit

from sandbox.bitrix24 import dates
from sandbox.bitrix24.automation import Automation
from sandbox.bitrix24.catalog import Catalog
from sandbox.bitrix24.crm import Actor, Crm, Item
from sandbox.bitrix24.delivery import Delivery, Parcel
from sandbox.bitrix24.fields import COMPANY, DEAL, INVOICE, QUOTE
from sandbox.bitrix24.install import Handler, Installation, Opening, Robot, Running
from sandbox.bitrix24.limits import Limits
from sandbox.bitrix24.people import User
from sandbox.bitrix24.php import flatten
from sandbox.bitrix24.processes import PLACE_FOR_BILLS, Processes
from sandbox.bitrix24.tokens import TokenBook
from sandbox.controls import Controls
from sandbox.settings import SandboxSettings

#: Bitrix24's document classes for robots (B§10.1).
DOCUMENTS = {
    INVOICE: ("crm", "Bitrix\\Crm\\Integration\\BizProc\\Document\\SmartInvoice", "SMART_INVOICE"),
    QUOTE: ("crm", "Bitrix\\Crm\\Integration\\BizProc\\Document\\Quote", "QUOTE"),
    DEAL: ("crm", "CCrmDocumentDeal", "DEAL"),
}
FUNNELS = {QUOTE: "QUOTE_STATUS", DEAL: "DEAL_STAGE"}
SYSTEM_USER = 9000


class NotInstalled(Exception):
    """An ordinary user opened an app that is not fully installed (B§1.3)."""


class Portal:
    """A portal's state. Every change goes through its methods, under `lock`."""

    def __init__(
        self, name: str, url: str, settings: SandboxSettings, controls: Controls, tokens: TokenBook, delivery: Delivery, zone: tzinfo, on_premise: bool = False
    ) -> None:
        self.name, self.url, self.zone, self.on_premise = name, url, zone, on_premise
        self.settings, self.controls, self.tokens, self.delivery = settings, controls, tokens, delivery
        self.lock = threading.RLock()
        self.member_id = hashlib.md5(f"portal {name}".encode(), usedforsecurity=False).hexdigest()
        self.language, self.plan, self.license_family = "en", "standard", "pro"
        self.title = name.capitalize()
        self.smart_invoices = True
        self.old_origin = ""
        self.troubles: set[str] = set()
        self.confirm_methods: dict[str, bool | None] = {}
        self.webhook_secret = hashlib.md5(f"webhook {name}".encode(), usedforsecurity=False).hexdigest()[:16]
        self.limits = Limits(enforced=not on_premise, pace=settings.pace)
        self.users: dict[int, User] = {}
        self.user_fields: dict[int, Item] = {}
        self.user_field_version = 0
        self.next_user_field = 301
        self.statuses: list[Item] = []
        self.invoice_category = 1
        self.currencies: dict[str, Item] = {}
        self.base_currency = "NZD"
        self.catalog = Catalog()
        self.crm = Crm(self)
        self.own_types = Processes(self)
        self.automation = Automation(self)
        self.requisites: dict[int, Item] = {}
        self.presets: dict[int, Item] = {}
        self.addresses: dict[tuple[int, int, int], Item] = {}
        self.bank_details: dict[int, Item] = {}
        self.links: dict[tuple[int, int], Item] = {}
        self.timeline: list[Item] = []
        self.notifications: list[Item] = []
        self.payments: dict[int, Item] = {}
        self.app_options: dict[str, Any] = {}
        self.user_options: dict[int, dict[str, Any]] = {}
        self.offline_queue: list[Item] = []
        self.installation: Installation | None = None
        self.robots_left: dict[str, Robot] = {}
        self.openings: dict[str, Opening] = {}
        self._ids: dict[str, int] = {}

    # --- small facts ---------------------------------------------------------------------------------------------

    def switch(self, name: str) -> str:
        return self.controls.switches.get(name)

    def now(self) -> datetime:
        return self.controls.clock.now()

    def moment(self) -> datetime:
        """Now, in the whole seconds that the portal's database knows."""
        return dates.seconds(self.now())

    def next_id(self, kind: str) -> int:
        self._ids[kind] = self._ids.get(kind, 0) + 1
        return self._ids[kind]

    @property
    def domain(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def client_endpoint(self) -> str:
        return f"{self.url}/rest/"

    @property
    def server_endpoint(self) -> str:
        return f"{self.settings.oauth_url}/rest/"

    @property
    def invoice_stage_entity(self) -> str:
        return f"SMART_INVOICE_STAGE_{self.invoice_category}"

    def stage_entity(self, type_id: int) -> str:
        return self.invoice_stage_entity if type_id == INVOICE else FUNNELS.get(type_id) or self.own_types.stage_entity(type_id)

    def category_of(self, type_id: int) -> int:
        """The default pipeline's number; 0 for types that count their pipelines from there."""
        return self.invoice_category if type_id == INVOICE else self.own_types.categories.get(type_id, 0)

    def stages(self, type_id: int) -> dict[str, Item]:
        """Stages of a type by STATUS_ID, in order."""
        entity = self.stage_entity(type_id)
        found = sorted((one for one in self.statuses if one["ENTITY_ID"] == entity), key=lambda one: one["SORT"])
        return {one["STATUS_ID"]: one for one in found}

    def first_stage(self, type_id: int) -> str:
        return next(iter(self.stages(type_id)), "")

    def semantics(self, stage_id: Any) -> str | None:
        return next((one["SEMANTICS"] for one in self.statuses if one["STATUS_ID"] == stage_id), None)

    def first_source(self) -> str:
        return next((str(one["STATUS_ID"]) for one in self.statuses if one["ENTITY_ID"] == "SOURCE"), "")

    def first_my_company(self) -> int:
        return next((one["id"] for one in self.crm.tables[COMPANY] if one.get("isMyCompany") == "Y"), 0)

    def label(self, user_field: Item) -> Any:
        given = user_field.get("editFormLabel")
        return (given.get("en") or next(iter(given.values()), "")) if isinstance(given, dict) else given or user_field["fieldName"]

    # --- accessors for tests ---------------------------------------------------------------------------------------

    @property
    def invoices(self) -> dict[int, Item]:
        return self.crm.tables[INVOICE].by_id

    @property
    def quotes(self) -> dict[int, Item]:
        return self.crm.tables[QUOTE].by_id

    @property
    def companies(self) -> dict[int, Item]:
        return self.crm.tables[COMPANY].by_id

    @property
    def contacts(self) -> dict[int, Item]:
        return self.crm.tables[3].by_id

    @property
    def processes(self) -> dict[int, Item]:
        """The portal's smart processes by entityTypeId, with their options and both of their ids."""
        return self.own_types.by_type

    def items(self, entity_type_id: int) -> dict[int, Item]:
        """The items of any type by id."""
        return self.crm.tables[entity_type_id].by_id

    def process_stage(self, entity_type_id: int, code: str) -> str:
        """The STATUS_ID of a smart process's stage, by the code after the colon or by its name."""
        return self.stage_id(code, entity_type_id)

    def add_process(self, title: str, user: int = 1, entity_type_id: int = 0, **options: bool) -> Item:
        """A smart process as an administrator makes one by hand, whatever the plan allows; every option that bills need is on unless told otherwise."""
        with self.lock:
            wanted = dict.fromkeys(PLACE_FOR_BILLS, True) | options
            return self.own_types.add(title, {name: "Y" if on else "N" for name, on in wanted.items()}, user, entity_type_id)

    def remove_process(self, entity_type_id: int) -> None:
        """Somebody deleted the smart process, and with it all that was in it."""
        with self.lock:
            self.own_types.remove(entity_type_id)

    @property
    def products(self) -> dict[int, Item]:
        return self.catalog.products

    @property
    def stage_names(self) -> dict[str, str]:
        """Invoice stages: STATUS_ID → name."""
        return {key: one["NAME"] for key, one in self.stages(INVOICE).items()}

    def stage_id(self, name: str, type_id: int = INVOICE) -> str:
        """The STATUS_ID of a stage, by its name or by the code after the colon."""
        return next(key for key, one in self.stages(type_id).items() if name in (one["NAME"], key, key.rpartition(":")[2]))

    def rows(self, invoice_id: int, type_id: int = INVOICE) -> list[Item]:
        """Product rows as JSON shows them."""
        return [self.crm.show_row(one) for one in self.crm.rows_of(type_id, invoice_id)]

    def invoice_by_number(self, number: str) -> Item:
        return self.invoices[self.crm.numbers[number]]

    def user_field_values(self, item_id: int, type_id: int = INVOICE) -> dict[str, Any]:
        return {name: value for name, value in self.crm.tables[type_id].by_id[item_id].items() if name.startswith("UF_")}

    def timeline_of(self, item_id: int, type_id: int = INVOICE) -> list[Item]:
        return [one for one in self.timeline if one["entityTypeId"] == type_id and one["entityId"] == item_id]

    def add_invoice(self, rows: list[Item] | None = None, user: int = 1, robot: bool = False, **fields: Any) -> int:
        """A new invoice as a person would make it; fields have the names of `crm.item.add`."""
        return self.add_item(INVOICE, rows, user, robot, **fields)

    def add_item(self, type_id: int, rows: list[Item] | None = None, user: int = 1, robot: bool = False, **fields: Any) -> int:
        with self.lock:
            actor = Actor(user, robot)
            item = self.crm.create(type_id, self.crm.parse_fields(type_id, fields, True), actor)
            if rows:
                self.crm.set_rows(type_id, item["id"], rows, actor)
            return int(item["id"])

    def change_invoice(self, invoice_id: int, rows: list[Item] | None = None, user: int = 1, robot: bool = False, **fields: Any) -> None:
        self.change_item(INVOICE, invoice_id, rows, user, robot, **fields)

    def change_item(self, type_id: int, item_id: int, rows: list[Item] | None = None, user: int = 1, robot: bool = False, **fields: Any) -> None:
        with self.lock:
            actor, item = Actor(user, robot), self.crm.tables[type_id].by_id[item_id]
            if fields:
                self.crm.update(type_id, item, self.crm.parse_fields(type_id, fields, True), actor)
            if rows is not None:
                self.crm.set_rows(type_id, item_id, rows, actor)

    def delete_item(self, type_id: int, item_id: int, user: int = 1) -> None:
        with self.lock:
            self.crm.delete(type_id, self.crm.tables[type_id].by_id[item_id], Actor(user))

    def delete_invoice(self, invoice_id: int, user: int = 1) -> None:
        self.delete_item(INVOICE, invoice_id, user)

    def set_stage(self, invoice_id: int, stage: str, user: int = 1, robot: bool = False, type_id: int = INVOICE) -> None:
        self.change_item(type_id, invoice_id, None, user, robot, stageId=self.stage_id(stage, type_id))

    # --- events ------------------------------------------------------------------------------------------------------

    def item_event(self, type_id: int, what: str, item_id: int, actor: Actor) -> None:
        """ONCRM…ADD, UPDATE, DELETE of an item (B§5.7)."""
        fields: Item = {"ID": item_id}
        type_ = self.crm.types[type_id]
        if type_.dynamic:
            fields["ENTITY_TYPE_ID"] = type_id
        self.emit(f"{type_.event}{what}", {"FIELDS": fields}, actor, f"_{type_id}" if type_.dynamic else "")

    def emit(self, event: str, data: Item, actor: Actor, suffix: str = "") -> None:
        """To every handler bound to the event; nothing before the installation is finished (B§1.3)."""
        app = self.installation
        if app is None or not app.installed:
            return
        names = {event.upper(), event.upper() + suffix}
        for handler in app.handlers:
            if handler.event not in names:
                continue
            if handler.offline:
                self._queue_offline(handler, event, data, actor)
            elif not handler.own_only or actor.user_id == handler.user_id:
                self._send(handler, data, actor)

    def _send(self, handler: Handler, data: Item, actor: Actor) -> None:
        name = handler.event
        if self.switch("event_name_case") == "camel" and name.startswith(("ONCRMREQUISITE", "ONCRMADDRESS", "ONCRMACTIVITY", "ONCRMBANKDETAIL")):
            name = _camel_event(name)
        body: Item = {"event": name}
        if self.switch("event_handler_id") == "present":
            body["event_handler_id"] = handler.id
        body |= {"data": data, "ts": int(self.now().timestamp()), "auth": self.event_auth(self._token_user(handler, actor))}
        self.delivery.put(Parcel(self.name, handler.url, name, body))

    def _token_user(self, handler: Handler, actor: Actor) -> int:
        """Whose token the event carries; none when a robot did it (B§5.2, B§15.7)."""
        if actor.robot:
            return 0
        if handler.user_id and handler.user_id != actor.user_id:
            return {"auth_type": handler.user_id, "acting": actor.user_id, "none": 0}[self.switch("event_auth_type_token")]
        return actor.user_id

    def event_auth(self, user_id: int, refresh: bool = False, tokens: bool = True) -> Item:
        """The `auth` object of events and robot calls."""
        app = self.installation
        assert app is not None
        auth: Item = {}
        if user_id and tokens and user_id in self.users:
            pair = self.tokens.issue(self.member_id, user_id) if refresh else self.tokens.for_event(self.member_id, user_id)
            left = int((pair.access_until - self.now()).total_seconds())
            auth |= {"access_token": pair.access, "expires_in": max(0, left)}
            extras = self.switch("event_auth_extras") == "all"
            if extras:
                auth |= {"expires": int(pair.access_until.timestamp()), "user_id": user_id, "client_id": self.settings.bitrix24_client_id}
            if refresh or extras:
                auth["refresh_token"] = pair.refresh
            auth["status"] = app.status
            auth["scope"] = (" " if self.switch("event_scope_separator") == "space" else ",").join(app.scopes)
        auth |= {"domain": self.domain, "server_endpoint": self.server_endpoint, "client_endpoint": self.client_endpoint}
        return auth | {"member_id": self.member_id, "application_token": app.application_token}

    def _queue_offline(self, handler: Handler, event: str, data: Item, actor: Actor) -> None:
        """One latest record per object and event (B§5.5)."""
        if handler.connector and handler.connector == actor.connector:
            return
        message = hashlib.md5(f"{handler.event}{json.dumps(data, sort_keys=True)}{handler.connector}".encode(), usedforsecurity=False).hexdigest()
        self.offline_queue = [one for one in self.offline_queue if one["MESSAGE_ID"] != message or one["process"]]
        self.offline_queue.append(
            {
                "ID": self.next_id("offline"),
                "TIMESTAMP_X": self.moment(),
                "EVENT_NAME": handler.event,
                "EVENT_DATA": data,
                "MESSAGE_ID": message,
                "process": "",
                "failed": False,
                "connector": handler.connector,
            }
        )
        for one in self.installation.handlers if self.installation else []:
            if one.event == "ONOFFLINEEVENT" and not one.offline:
                body = {"event": one.event, "data": "", "ts": int(self.now().timestamp()), "auth": self.event_auth(one.user_id or actor.user_id, refresh=True)}
                self.delivery.put(Parcel(self.name, one.url, one.event, body))

    # --- the life of the app (B§1) ------------------------------------------------------------------------------------

    def _lifecycle(self, event: str, data: Item, auth: Item) -> None:
        body = {"event": event, "data": data, "ts": int(self.now().timestamp()), "auth": auth}
        self.delivery.put(Parcel(self.name, f"{self.settings.app_url}/bitrix24/events", event, body))

    def install(self, user: int = 1, scopes: tuple[str, ...] | None = None) -> Installation:
        """Somebody pressed Install: the installer opens next, nothing is delivered yet."""
        with self.lock:
            token = hashlib.md5(f"application {self.name} {self.next_id('application_token')}".encode(), usedforsecurity=False).hexdigest()
            self.installation = Installation(token, installer=user, robots=dict(self.robots_left))
            if scopes is not None:
                self.installation.scopes = scopes
            if self.switch("install_event_order") == "with_opening":
                self._install_event(user)
            return self.installation

    def _install_event(self, user: int) -> None:
        app = self.installation
        assert app is not None
        data = {"VERSION": app.version, "ACTIVE": "Y", "INSTALLED": "Y" if app.installed else "N", "LANGUAGE_ID": self.language}
        self._lifecycle("ONAPPINSTALL", data, self.event_auth(user, refresh=True))

    def finish_install(self, user: int = 1) -> None:
        """The frame called installFinish: events flow and placements show from here on."""
        with self.lock:
            app = self.installation
            if app is None or app.installed:
                return
            app.installed = True
            if self.switch("install_event_order") == "after_finish":
                self._install_event(user)

    def install_fully(self, user: int = 1) -> Installation:
        """For tests that start behind the wizard; the app's own installer has bound nothing."""
        app = self.install(user)
        self.finish_install(user)
        return app

    def update_app(self, user: int = 1) -> None:
        """A new version: handlers are gone, the installer runs again, the application_token may be new (B§1.3, B§1.5)."""
        with self.lock:
            app = self.installation
            if app is None:
                return
            previous, app.version = app.version, app.version + 1
            app.handlers.clear()
            if self.switch("placements_survive_update") == "no":
                app.placements.clear()
            if self.switch("update_changes_application_token") == "yes":
                app.application_token = secrets.token_hex(16)
            app.installed = self.switch("update_runs_installer") == "no"
            self._lifecycle(
                "ONAPPUPDATE", {"VERSION": app.version, "PREVIOUS_VERSION": previous, "LANGUAGE_ID": self.language}, self.event_auth(user, refresh=True)
            )

    def uninstall(self, clean: bool = False) -> None:
        """Tokens die first, then ONAPPUNINSTALL goes out without any (B§1.5)."""
        with self.lock:
            app = self.installation
            if app is None:
                return
            self.tokens.kill(self.member_id)
            self._lifecycle("ONAPPUNINSTALL", {"LANGUAGE_ID": self.language, "CLEAN": "1" if clean else "0"}, self.event_auth(0))
            if clean:
                self.app_options.clear()
                self.user_options.clear()
            if self.switch("uninstall_removes_userfields") == "yes":
                self._remove_app_fields()
            self.robots_left = {} if self.switch("uninstall_removes_robots") == "yes" else app.robots
            self.installation = None
            self.offline_queue.clear()
            self.openings.clear()

    def _remove_app_fields(self) -> None:
        for id_ in [id_ for id_, one in self.user_fields.items() if one.get("by_app")]:
            del self.user_fields[id_]
        self.user_field_version += 1

    def payment_event(self, code: str = "tallybridge", expired: bool = False) -> None:
        with self.lock:
            app = self.installation
            if app is None:
                return
            app.payment_expired = expired
            with_token = self.switch("payment_event") == "with_token_P"
            auth = self.event_auth(app.installer, refresh=True)
            if not with_token:
                auth.pop("application_token")
            data = {
                "CODE": code,
                "VERSION": app.version,
                "STATUS": "P" if with_token else "S",
                "PAYMENT_EXPIRED": "Y" if expired else "N",
                "DAYS": 30,
                "LANGUAGE_ID": self.language,
            }
            self._lifecycle("ONAPPPAYMENT", data, auth)

    def rename(self, origin: str = "") -> str:
        """The portal moves to another domain; the old one answers 302 (B§2.8)."""
        with self.lock:
            host, _, port = self.domain.rpartition(":")
            new = origin or f"http://{'localhost' if host == '127.0.0.1' else '127.0.0.1'}:{port}"
            self.old_origin, self.url = self.url, new
            return new

    def dismiss(self, user: int) -> None:
        self.users[user].active = False

    def move_to_system_user(self, user: int) -> None:
        """A Market app's tokens after the owner left (B§2.6)."""
        self.users[SYSTEM_USER] = User(SYSTEM_USER, "Bitrix24", "System", "", admin=True, system=True)
        self.tokens.rebind(self.member_id, user, SYSTEM_USER)

    def confirm_method(self, method: str, allowed: bool, user: int = 1) -> None:
        """The administrator answered a METHOD_CONFIRM (B§1.5)."""
        self.confirm_methods[method] = allowed
        data = {"TOKEN": secrets.token_hex(8), "METHOD": method, "CONFIRMED": "1" if allowed else "0", "LANGUAGE_ID": self.language}
        if self.installation:
            self._lifecycle("ONAPPMETHODCONFIRM", data, self.event_auth(user))

    # --- opening the app (B§1.4) --------------------------------------------------------------------------------------

    def open_app(self, user: int = 1, placement: str = "DEFAULT", options: dict[str, Any] | None = None, handler: str = "", referer: str = "") -> Opening:
        """The POST that opens the app for this user; raises NotInstalled where the portal would show a notice instead."""
        with self.lock:
            app = self.installation
            person = self.users[user]
            if app is None:
                raise NotInstalled("The application is not installed.")
            if not app.installed and not person.admin:
                raise NotInstalled("The application is not fully installed. Please contact your administrator.")
            placement = placement if app.installed else "DEFAULT"
            address = handler if handler and app.installed else self._address(app, placement)
            sid = secrets.token_hex(16)
            given = {key: str(value) for key, value in (options or {}).items()}
            if self.switch("placement_options_uri") == "present":
                given["URI"] = referer or "/"
            opening = Opening(self._with_query(address, sid), self._opening_fields(app, user, placement, given), sid, user, placement, given)
            self.openings[sid] = opening
            if len(self.openings) > 2000:
                self.openings.pop(next(iter(self.openings)))
            return opening

    def _address(self, app: Installation, placement: str) -> str:
        base = self.settings.app_url
        if not app.installed:
            return f"{base}/bitrix24/install"
        if placement == "DEFAULT":
            return f"{base}/bitrix24/app"
        found = next((one.url for one in app.placements if one.code == placement), "")
        if not found:
            raise NotInstalled(f"The application has no handler for {placement}.")
        return found

    def _with_query(self, address: str, sid: str) -> str:
        query = urlencode({"DOMAIN": self.domain, "PROTOCOL": "1" if self.url.startswith("https") else "0", "LANG": self.language, "APP_SID": sid})
        return f"{address}{'&' if '?' in address else '?'}{query}"

    def _opening_fields(self, app: Installation, user: int, placement: str, options: dict[str, Any]) -> dict[str, str]:
        pair = self.tokens.issue(self.member_id, user)
        fields = {"AUTH_ID": pair.access, "AUTH_EXPIRES": "3600", "REFRESH_ID": pair.refresh}
        if not self.on_premise:
            fields |= {"SERVER_ENDPOINT": self.server_endpoint, "APPLICATION_TOKEN": app.application_token, "APPLICATION_SCOPE": ",".join(app.scopes)}
        fields |= {"member_id": self.member_id, "status": app.status, "PLACEMENT": placement}
        return fields | {"PLACEMENT_OPTIONS": json.dumps(options) if options else "[]"}

    def init_data(self, sid: str) -> Item:
        """The answer to getInitData (B§7.6)."""
        opening, app = self.openings[sid], self.installation
        assert app is not None
        user = self.users[opening.user_id]
        return {
            "LANG": self.language,
            "DOMAIN": self.domain,
            "PROTOCOL": 1 if self.url.startswith("https") else 0,
            "PATH": "/rest",
            "AUTH_ID": opening.fields["AUTH_ID"],
            "AUTH_EXPIRES": 3600,
            "REFRESH_ID": opening.fields["REFRESH_ID"],
            "MEMBER_ID": self.member_id,
            "FIRST_RUN": not app.installed,
            "IS_ADMIN": user.admin,
            "INSTALL": not app.installed,
            "USER_OPTIONS": self.user_options.get(user.id, {}),
            "APP_OPTIONS": self.app_options,
            "PLACEMENT": opening.placement,
            "PLACEMENT_OPTIONS": opening.options,
        }

    # --- robots (B§10) ------------------------------------------------------------------------------------------------

    def document_type(self, type_id: int) -> tuple[str, str, str]:
        """Bitrix24's document class of a type (B§10.1)."""
        if type_id in self.processes:
            return ("crm", "Bitrix\\Crm\\Integration\\BizProc\\Document\\Dynamic", self.crm.types[type_id].name)
        return DOCUMENTS[type_id]

    def call_robot(self, code: str, type_id: int, item_id: int, properties: dict[str, Any] | None = None, user: int = 1) -> str:
        """An automation rule reaches the app's robot; the token with which it may answer."""
        app = self.installation
        if app is None or not app.installed or code not in app.robots:
            return ""
        robot = app.robots[code]
        module, class_, name = self.document_type(type_id)
        running = Running(secrets.token_hex(24), code, f"{name}_{item_id}")
        app.running[running.token] = running
        body = {
            "workflow_id": secrets.token_hex(12),
            "code": code,
            "document_id": [module, class_, running.document],
            "document_type": [module, class_, name],
            "event_token": running.token,
            "properties": properties or {},
            "use_subscription": robot.subscription or "Y",
            "timeout_duration": 0,
            "ts": int(self.now().timestamp()),
            "auth": self._robot_auth(robot.auth_user or user),
        }
        for _ in range(2 if self.switch("robot_delivery") == "twice" else 1):
            self.delivery.put(Parcel(self.name, robot.url, f"robot:{code}", body))
        return running.token

    def _robot_auth(self, user_id: int) -> Item:
        """A robot's auth always has expires and user_id (B§10.2)."""
        auth = self.event_auth(user_id, refresh=True)
        return auth | {"expires": int(self.now().timestamp()) + auth.get("expires_in", 0), "user_id": user_id}

    # --- notes of the CRM -----------------------------------------------------------------------------------------------

    def add_timeline(self, kind: str, type_id: int, item_id: int, author: int, **what: Any) -> Item:
        entry: Item = {
            "id": self.next_id("timeline"),
            "kind": kind,
            "entityTypeId": type_id,
            "entityId": item_id,
            "authorId": author,
            "created": self.moment(),
            **what,
        }
        self.timeline.append(entry)
        item = self.crm.tables[type_id].by_id.get(item_id)
        if item is not None:
            item |= {"lastActivityBy": author, "lastActivityTime": entry["created"]}
        return entry

    def notify(self, user: int, message: str, author: int = 0, tag: str = "", sub_tag: str = "", out: str = "") -> int:
        """A notification; one with the same tag replaces the earlier (B§8.9)."""
        if tag:
            self.notifications = [one for one in self.notifications if one["tag"] != tag or one["user"] != user]
        entry: Item = {
            "id": self.next_id("notification"),
            "user": user,
            "author": author,
            "message": message,
            "tag": tag,
            "sub_tag": sub_tag,
            "out": out,
            "created": self.moment(),
            "read": False,
        }
        self.notifications.append(entry)
        return int(entry["id"])

    def form_pairs(self, opening: Opening) -> list[tuple[str, str]]:
        return flatten(opening.fields)


def _camel_event(name: str) -> str:
    """ONCRMREQUISITEUPDATE → onCrmRequisiteUpdate (B§5.2)."""
    for part in ("Crm", "Requisite", "Address", "BankDetail", "Activity", "Unregister", "Register", "Update", "Delete", "Add"):
        name = name.replace(part.upper(), part)
    return "on" + name[2:]
