"""The pages of the CRM, their forms, and the answers that the host script needs."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, jsonify, redirect, render_template, request

from sandbox.bitrix24.automation import Binding
from sandbox.bitrix24.crm import Actor
from sandbox.bitrix24.errors import RestError
from sandbox.bitrix24.face import processes, showing
from sandbox.bitrix24.face.acting import PortalOf, act_as, acting, leave
from sandbox.bitrix24.fields import COMPANY, CONTACT, INVOICE, QUOTE
from sandbox.bitrix24.php import as_list, nest
from sandbox.bitrix24.portal import NotInstalled, Portal

APP_NAME = "Tallybridge"
PAGE_OF_RUNS = 50
PREFIX = {INVOICE: "CRM_SMART_INVOICE", QUOTE: "CRM_QUOTE", COMPANY: "CRM_COMPANY", CONTACT: "CRM_CONTACT"}
WRITABLE = (
    *("title", "accountNumber", "quoteNumber", "companyId", "contactId", "mycompanyId", "assignedById", "begindate", "closedate", "actualDate"),
    *("currencyId", "content", "terms", "comments"),
)


class Face:
    """Everything a page needs to know of its portal and its visitor."""

    def __init__(self, portal_of: PortalOf) -> None:
        self._portal_of = portal_of

    @property
    def portal(self) -> Portal:
        return self._portal_of()

    def render(self, template: str, section: str, **more: Any) -> str:
        portal, user = self.portal, acting(self.portal)
        app = portal.installation
        unread = sum(1 for one in portal.notifications if one["user"] == user.id and not one["read"])
        framed = request.args.get("IFRAME") == "Y"
        common = {
            "portal": portal,
            "user": user,
            "section": section,
            "framed": framed,
            "unread": unread,
            "app": app,
            "app_name": APP_NAME,
            "processes": processes.entries(portal),
            "here": request.full_path.rstrip("?"),
        }
        return render_template(template, **common, money=showing.money, day=showing.day, moment=lambda value: showing.moment(portal, value), **more)

    def places(self, prefix: str, place: str) -> list[dict[str, str]]:
        """What the app bound here; nothing before the installation is finished (B§6.1)."""
        app = self.portal.installation
        if app is None or not app.installed:
            return []
        code = f"{prefix}_{place}" if prefix else place
        return [{"code": one.code, "title": one.title_for(self.portal.language, APP_NAME), "handler": one.url} for one in app.placements if one.code == code]


def blueprint(portal_of: PortalOf) -> Blueprint:
    """All pages of one portal."""
    face = Blueprint("face", __name__, template_folder="templates", static_folder="static", static_url_path="/static")
    see = Face(portal_of)
    _document_pages(face, see)
    _client_pages(face, see)
    _other_pages(face, see)
    _app_pages(face, see)
    _host_answers(face, see)
    return face


def _page_number() -> int:
    given = request.args.get("page", "1")
    return max(1, int(given)) if given.isdigit() else 1


# --- invoices and estimates ------------------------------------------------------------------------------------------


def _document_pages(face: Blueprint, see: Face) -> None:
    def listing(type_id: int) -> str:
        portal, search, stage = see.portal, request.args.get("q", ""), request.args.get("stage", "")
        with portal.lock:
            page = showing.documents(portal, type_id, acting(portal), search, stage, _page_number())
        prefix = PREFIX[type_id]
        switched_off = type_id == INVOICE and not portal.smart_invoices
        return see.render(
            "documents.html",
            "invoices" if type_id == INVOICE else "quotes",
            type_id=type_id,
            page=page,
            search=search,
            stage=stage,
            stages=portal.stages(type_id),
            toolbar=see.places(prefix, "LIST_TOOLBAR"),
            row_menu=see.places(prefix, "LIST_MENU"),
            switched_off=switched_off,
        )

    @face.get("/")
    def home() -> str:
        return listing(INVOICE)

    @face.get("/crm/type/<int:type_id>/list/")
    def documents(type_id: int) -> str:
        if type_id in see.portal.processes:
            return processes.listing(see, type_id, _page_number())
        if type_id not in (INVOICE, QUOTE):
            abort(404)
        return listing(type_id)

    @face.get("/crm/type/<int:type_id>/details/<int:item_id>/")
    def card(type_id: int, item_id: int) -> str:
        if type_id in see.portal.processes:
            return processes.card(see, type_id, item_id)
        if type_id not in (INVOICE, QUOTE):
            abort(404)
        return _card(see, type_id, item_id)

    @face.get("/crm/quote/details/<int:item_id>/")
    def quote_card(item_id: int) -> str:
        return _card(see, QUOTE, item_id)

    @face.post("/face/quote/<int:item_id>/invoice")
    def invoice_from_quote(item_id: int) -> Any:
        """As "Create using source → Invoice" does: client, seller and rows are copied, and the invoice knows its quote (parentId7)."""
        portal, user = see.portal, acting(see.portal)
        with portal.lock:
            quote = portal.quotes.get(item_id) or abort(404)
            if not user.can("read", QUOTE, quote) or not user.can("add", INVOICE):
                abort(403)
            names = ("title", "companyId", "contactId", "mycompanyId", "currencyId", "assignedById")
            made = portal.crm.create(INVOICE, {**{name: quote[name] for name in names if name in quote}, "parentId7": item_id}, Actor(user.id))
            portal.crm.set_rows(INVOICE, made["id"], [dict(one) for one in portal.rows(item_id, QUOTE)], Actor(user.id))
        return leave(f"/crm/type/{INVOICE}/details/{made['id']}/")

    @face.post("/face/item/<int:type_id>/<int:item_id>")
    def save(type_id: int, item_id: int) -> Any:
        return _save(see, type_id, item_id)

    @face.post("/face/stage/<int:type_id>/<int:item_id>")
    def stage(type_id: int, item_id: int) -> Any:
        portal, user = see.portal, acting(see.portal)
        with portal.lock:
            item = portal.crm.tables[type_id].by_id.get(item_id) or abort(404)
            if not user.can("update", type_id, item):
                abort(403)
            if request.form.get("stage") not in portal.stages(type_id):
                abort(400)
            try:
                portal.crm.update(type_id, item, {"stageId": request.form.get("stage", "")}, Actor(user.id))
            except RestError as refusal:
                return _card(see, type_id, item_id, refusal.description), 409
        return leave(f"/crm/type/{type_id}/details/{item_id}/")

    @face.post("/face/delete/<int:type_id>/<int:item_id>")
    def delete(type_id: int, item_id: int) -> Any:
        portal, user = see.portal, acting(see.portal)
        with portal.lock:
            item = portal.crm.tables[type_id].by_id.get(item_id) or abort(404)
            if not user.can("delete", type_id, item):
                abort(403)
            portal.crm.delete(type_id, item, Actor(user.id))
        back = processes.address(type_id) if type_id in portal.processes else "/"
        return see.render("gone.html", processes.section(type_id), text=f"{portal.crm.types[type_id].title} deleted.", back=back)


def _card(see: Face, type_id: int, item_id: int, refusal: str = "") -> str:
    portal, user = see.portal, acting(see.portal)
    with portal.lock:
        item = portal.crm.tables[type_id].by_id.get(item_id)
        if item_id and item is None:
            abort(404)
        if item is not None and not user.can("read", type_id, item):
            return see.render("gone.html", "invoices", text="You do not have permission to view this item.")
        may_edit = user.can("update", type_id, item) if item else user.can("add", type_id)
        return see.render(
            "card.html",
            "invoices" if type_id == INVOICE else "quotes",
            type_id=type_id,
            type_name=portal.crm.types[type_id].title if type_id == INVOICE else "Estimate",
            item=item or _blank(portal, type_id, user.id),
            line=showing.line(portal, type_id, item) if item else None,
            rows=portal.rows(item_id, type_id),
            stages=portal.stages(type_id),
            choices=showing.choices(portal, user),
            custom=showing.custom_values(portal, type_id, item or {}),
            notes=showing.notes(portal, type_id, item_id),
            may_edit=may_edit,
            may_delete=item is not None and user.can("delete", type_id, item),
            refusal=refusal,
            parent=portal.quotes.get((item or {}).get("parentId7") or 0) if type_id == INVOICE else None,
            tabs=see.places(PREFIX[type_id], "DETAIL_TAB"),
            toolbar=see.places(PREFIX[type_id], "DETAIL_TOOLBAR"),
            activity=see.places(PREFIX[type_id], "DETAIL_ACTIVITY"),
            tab_options=_tab_options(portal, item_id),
        )


def _tab_options(portal: Portal, item_id: int) -> dict[str, str]:
    """What a tab of an unsaved item is given is an open fact (B§6.3)."""
    if item_id:
        return {"ID": str(item_id)}
    return {"absent": {}, "zero": {"ID": "0"}, "empty": {"ID": ""}}[portal.switch("creation_form_id")]


def _blank(portal: Portal, type_id: int, user_id: int) -> dict[str, Any]:
    today = portal.now().astimezone(portal.zone).date()
    empty: dict[str, Any] = dict.fromkeys(("title", "comments", "accountNumber"), "") | dict.fromkeys(
        ("id", "companyId", "contactId", "opportunity", "taxValue"), 0
    )
    empty |= {"stageId": portal.first_stage(type_id), "mycompanyId": portal.first_my_company(), "assignedById": user_id, "currencyId": portal.base_currency}
    return empty | {"begindate": today, "closedate": None, "actualDate": None, "isManualOpportunity": "N"}


def _save(see: Face, type_id: int, item_id: int) -> Any:
    portal, user, form = see.portal, acting(see.portal), nest(request.form.items(multi=True))
    actor = Actor(user.id)
    with portal.lock:
        table = portal.crm.tables[type_id]
        item = table.by_id.get(item_id)
        if not (user.can("update", type_id, item) if item else user.can("add", type_id)):
            abort(403)
        try:
            values = portal.crm.parse_fields(type_id, _form_fields(form), True)
            if item is None:
                item = portal.crm.create(type_id, values, actor)
            else:
                portal.crm.update(type_id, item, values, actor)
            portal.crm.set_rows(type_id, item["id"], [_form_row(one) for one in as_list(form.get("rows")) if _filled(one)], actor)
        except RestError as refusal:
            return _card(see, type_id, item_id, refusal.description), 409
    framed = "?IFRAME=Y" if request.args.get("IFRAME") == "Y" else ""
    return redirect(f"/crm/type/{type_id}/details/{item['id']}/{framed}", 303)


def _form_fields(form: dict[str, Any]) -> dict[str, Any]:
    fields = {name: form[name] for name in WRITABLE if name in form}
    fields["isManualOpportunity"] = "Y" if form.get("manual") else "N"
    if form.get("manual"):
        fields["opportunity"] = form.get("opportunity") or 0
    return fields


def _filled(row: dict[str, Any]) -> bool:
    return bool(row.get("productId") or str(row.get("productName") or "").strip())


def _form_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the editor; zero tax and no tax are different choices (B§8.6)."""
    absolute = row.get("discountTypeId") == "1"
    discount = row.get("discount") or "0"
    made = {
        "productId": row.get("productId"),
        "productName": row.get("productName"),
        "price": row.get("price") or "0",
        "quantity": row.get("quantity") or "1",
        "taxRate": row.get("taxRate") or None,
        "taxIncluded": row.get("taxIncluded") or "N",
    }
    return made | ({"discountTypeId": 1, "discountSum": discount} if absolute else {"discountTypeId": 2, "discountRate": discount})


# --- clients ---------------------------------------------------------------------------------------------------------


def _client_pages(face: Blueprint, see: Face) -> None:
    def listing(type_id: int) -> str:
        search = request.args.get("q", "")
        page = showing.clients(see.portal, type_id, acting(see.portal), search, _page_number())
        section = "companies" if type_id == COMPANY else "contacts"
        return see.render(
            "clients.html",
            section,
            type_id=type_id,
            page=page,
            search=search,
            toolbar=see.places(PREFIX[type_id], "LIST_TOOLBAR"),
            row_menu=see.places(PREFIX[type_id], "LIST_MENU"),
        )

    def one(type_id: int, item_id: int) -> str:
        portal, user = see.portal, acting(see.portal)
        item = portal.crm.tables[type_id].by_id.get(item_id) or abort(404)
        if not user.can("read", type_id, item):
            return see.render("gone.html", "companies", text="You do not have permission to view this item.")
        own = [
            showing.line(portal, INVOICE, invoice)
            for invoice in portal.crm.tables[INVOICE]
            if invoice["companyId" if type_id == COMPANY else "contactId"] == item_id and user.can("read", INVOICE, invoice)
        ]
        return see.render(
            "client.html",
            "companies" if type_id == COMPANY else "contacts",
            type_id=type_id,
            item=item,
            name=item["title"] if type_id == COMPANY else showing.person_name(item),
            requisites=showing.requisites(portal, type_id, item_id),
            invoices=own,
            custom=showing.custom_values(portal, type_id, item),
            notes=showing.notes(portal, type_id, item_id),
            may_edit=user.can("update", type_id, item),
            tabs=see.places(PREFIX[type_id], "DETAIL_TAB"),
            toolbar=see.places(PREFIX[type_id], "DETAIL_TOOLBAR"),
        )

    @face.get("/crm/company/")
    def companies() -> str:
        return listing(COMPANY)

    @face.get("/crm/contact/")
    def contacts() -> str:
        return listing(CONTACT)

    @face.get("/crm/company/details/<int:item_id>/")
    def company(item_id: int) -> str:
        return one(COMPANY, item_id)

    @face.get("/crm/contact/details/<int:item_id>/")
    def contact(item_id: int) -> str:
        return one(CONTACT, item_id)

    @face.post("/face/client/<int:type_id>/<int:item_id>")
    def save_client(type_id: int, item_id: int) -> Any:
        portal, user = see.portal, acting(see.portal)
        with portal.lock:
            item = portal.crm.tables[type_id].by_id.get(item_id) or abort(404)
            if not user.can("update", type_id, item):
                abort(403)
            values: dict[str, Any] = {name: request.form[name] for name in ("title", "name", "lastName") if name in request.form}
            entries = {
                str(entry["id"]): {"typeId": entry["typeId"], "value": request.form[f"fm{entry['id']}"]}
                for entry in item["fm"]
                if f"fm{entry['id']}" in request.form
            }
            portal.crm.update(type_id, item, values | {"fm": entries}, Actor(user.id))
        return leave("/crm/company/")


# --- products, notifications, users -------------------------------------------------------------------------------------


def _other_pages(face: Blueprint, see: Face) -> None:
    @face.get("/shop/catalog/")
    def products() -> str:
        search = request.args.get("q", "")
        return see.render("products.html", "products", page=showing.products(see.portal, search, _page_number()), search=search)

    @face.get("/crm/automation/")
    def automation() -> str:
        portal = see.portal
        type_id = QUOTE if request.args.get("type") == str(QUOTE) else INVOICE
        app = portal.installation
        ready = app if app is not None and app.installed else None
        with portal.lock:
            return see.render(
                "automation.html",
                "automation",
                type_id=type_id,
                kinds={INVOICE: "Invoices", QUOTE: "Estimates"},
                stages=portal.stages(type_id),
                rules=[one for one in portal.automation.rules if one.type_id == type_id],
                bindings=[one for one in portal.automation.bindings if one.type_id == type_id],
                names=showing.robot_names(portal, type_id) if ready else {},
                triggers=ready.triggers if ready else {},
                runs=[one for one in reversed(portal.automation.runs) if one.type_id == type_id][:PAGE_OF_RUNS],
            )

    @face.post("/face/automation/<verb>")
    def change_automation(verb: str) -> Any:
        portal, form = see.portal, request.form
        if not acting(portal).admin:
            abort(403)
        type_id, stage = (QUOTE if form.get("type") == str(QUOTE) else INVOICE), form.get("stage", "")
        what, _, code = form.get("what", "").partition(":")
        with portal.lock:
            if verb == "remove":
                portal.automation.remove_rule(int(form.get("rule", "0")))
            elif what == "trigger":
                portal.automation.bindings.append(Binding(code, type_id, stage))
            else:
                portal.automation.add_rule(type_id, stage, code, comment=form.get("comment", "") if what == "comment" else "")
        return leave("/crm/automation/")

    @face.get("/notifications/")
    def notifications() -> str:
        portal, user = see.portal, acting(see.portal)
        own = [one for one in reversed(portal.notifications) if one["user"] == user.id]
        for one in own:
            one["read"] = True
        names = {one.id: one.full_name for one in portal.users.values()}
        return see.render("notifications.html", "notifications", notifications=own, names=names)

    @face.post("/face/act-as")
    def switch_user() -> Response:
        given = request.form.get("user", "")
        return act_as(see.portal, int(given) if given.isdigit() else 0)


# --- the app -------------------------------------------------------------------------------------------------------------


def _app_pages(face: Blueprint, see: Face) -> None:
    @face.get("/marketplace/")
    def applications() -> str:
        return see.render("applications.html", "applications")

    @face.get("/marketplace/app/")
    def app_page() -> str:
        portal, user = see.portal, acting(see.portal)
        app = portal.installation
        notice = ""
        if app is None:
            notice = "The application is not installed."
        elif not app.installed and not user.admin:
            notice = "The application is not fully installed. Please contact your administrator."
        return see.render("app.html", "app", notice=notice)

    @face.post("/face/app/install")
    def install() -> Any:
        portal, user = see.portal, acting(see.portal)
        if not user.admin:
            abort(403)
        if portal.installation is None:
            portal.install(user.id)
        return redirect("/marketplace/app/", 303)

    @face.post("/face/app/update")
    def update() -> Any:
        if not acting(see.portal).admin:
            abort(403)
        see.portal.update_app(acting(see.portal).id)
        return redirect("/marketplace/app/", 303)

    @face.post("/face/app/uninstall")
    def uninstall() -> Any:
        if not acting(see.portal).admin:
            abort(403)
        see.portal.uninstall(bool(request.form.get("clean")))
        return redirect("/marketplace/", 303)

    @face.get("/oauth/authorize/")
    def authorise() -> Any:
        """The full protocol: the redirect address comes from the app's card, never from the request (B§2.1)."""
        portal, user = see.portal, acting(see.portal)
        if request.args.get("client_id") != portal.settings.bitrix24_client_id or portal.installation is None:
            return see.render("gone.html", "app", text="Application not found.")
        code = portal.tokens.issue_code(portal.member_id, user.id)
        scope = ",".join(portal.installation.scopes).replace(",", "%2C")
        query = f"code={code}&state={request.args.get('state', '')}&domain={portal.domain}&member_id={portal.member_id}&scope={scope}"
        return redirect(f"{portal.settings.app_url}/bitrix24/app?{query}&server_domain={portal.settings.oauth_url.partition('//')[2]}", 302)


def _host_answers(face: Blueprint, see: Face) -> None:
    """JSON for the host script; each acts for the frame of one APP_SID."""

    @face.post("/face/api/open")
    def open_frame() -> Any:
        given = request.get_json() or {}
        portal = see.portal
        try:
            opening = portal.open_app(
                acting(portal).id,
                str(given.get("placement") or "DEFAULT"),
                given.get("options") or {},
                str(given.get("handler") or ""),
                str(given.get("from") or ""),
            )
        except NotInstalled as notice:
            return jsonify(notice=str(notice)), 409
        return jsonify(url=opening.url, fields=opening.fields, name=opening.frame_name, sid=opening.sid)

    @face.get("/face/api/init")
    def init() -> Any:
        sid = request.args.get("sid", "")
        return jsonify(see.portal.init_data(sid)) if sid in see.portal.openings else abort(404)

    @face.post("/face/api/refresh")
    def refresh() -> Any:
        portal = see.portal
        opening = portal.openings.get((request.get_json() or {}).get("sid", "")) or abort(404)
        pair = portal.tokens.issue(portal.member_id, opening.user_id)
        return jsonify(AUTH_ID=pair.access, AUTH_EXPIRES=3600, REFRESH_ID=pair.refresh)

    @face.post("/face/api/finish")
    def finish() -> Any:
        opening = see.portal.openings.get((request.get_json() or {}).get("sid", "")) or abort(404)
        see.portal.finish_install(opening.user_id)
        return jsonify(finished=True)

    @face.post("/face/api/option")
    def option() -> Any:
        """setAppOption is kept for administrators only (B§7.5)."""
        given, portal = request.get_json() or {}, see.portal
        opening = portal.openings.get(given.get("sid", "")) or abort(404)
        if given.get("kind") == "user":
            stored = portal.user_options.setdefault(opening.user_id, {})
        else:
            stored = portal.app_options if portal.users[opening.user_id].admin else {}
        stored[str(given.get("name"))] = given.get("value")
        return jsonify(stored)

    @face.get("/face/api/host")
    def host() -> Any:
        portal = see.portal
        return jsonify(age=portal.switch("host_age"), quote=portal.switch("open_path_quote"), invoice=portal.switch("open_path_invoice"))

    @face.get("/face/api/people")
    def people() -> Any:
        portal = see.portal
        return jsonify(
            [
                {"id": one.id, "name": one.full_name, "photo": "", "position": one.position, "url": f"/company/personal/user/{one.id}/"}
                for one in portal.users.values()
                if one.active
            ]
        )

    @face.get("/face/api/unread")
    def unread() -> Any:
        user = acting(see.portal)
        return jsonify(unread=sum(1 for one in see.portal.notifications if one["user"] == user.id and not one["read"]))
