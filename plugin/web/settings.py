"""The set-up, for administrators only: the wizard first, the same steps as settings later.

Fields that `set_up.save` receives, by step: 1 `start_date` (ISO), `seller` (ids, repeated), `number_policy`, `number_prefix`;
2 `income`, `expense` (Option values), `create_contacts`, `create_items` (present = yes), `item_code_source`;
3 `stage:<stage id>` (an ordered status or ""), `status:<word>` (a stage id or ""); 4 `tax:<key>` (an Option value).
"""

from __future__ import annotations

from typing import cast

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from plugin.usecases import automatic, brought_from_xero, connect_xero, deleted, first_sync, open_app, set_up
from plugin.usecases.shown import SetUpShown
from plugin.web import connection, failures
from plugin.web.here import services, visitor
from plugin.web.render import page, part

blueprint = Blueprint("settings", __name__, url_prefix="/setup")
blueprint.register_blueprint(connection.blueprint)


@blueprint.before_request
def administrators() -> Response | None:
    """The second guard: settings are for administrators of the portal."""
    return None if visitor().admin else failures.administrators_only()


@blueprint.get("")
def shown() -> str:
    """The wizard where it was left, or all settings once it is done."""
    state = set_up.shown(services(), visitor(), None)
    if state.connection.state != "connected":
        return connection.connection_page(state.connection)
    return _settings(state) if state.confirmed else _wizard(state)


@blueprint.get("/<int:number>")
def step(number: int) -> ResponseReturnValue:
    """One step."""
    return _wizard(set_up.shown(services(), visitor(), min(max(number, 1), 5)))


@blueprint.post("/<int:number>")
def save(number: int) -> ResponseReturnValue:
    """Keep a step and show the next one, or the same with what is wrong in it."""
    return _wizard(set_up.save(services(), visitor(), number, cast("set_up.Form", request.form)))


@blueprint.post("/confirm")
def confirm() -> ResponseReturnValue:
    """Everything checked: start working."""
    set_up.confirm(services(), visitor())
    return page("setup/confirmed.html", "settings", sync=first_sync.progress(services(), visitor()))


@blueprint.post("/automatic")
def runs_by_itself() -> ResponseReturnValue:
    """What goes without a click: `automatic`, `automatic_stage`, `stage_after_export`, `when_deleted`."""
    found = automatic.save(services(), visitor(), request.form)
    return part("setup/automatic.html", automatic=found, saved=not found.faults)


@blueprint.get("/accounts")
def accounts() -> ResponseReturnValue:
    """Accounts for a combobox, found as one types."""
    kind = request.args.get("kind", "income")
    found = set_up.find_accounts(services(), visitor(), kind, request.args.get(f"{kind}-text", "").strip()[:100])
    return part("setup/options.html", kind=kind, options=found)


@blueprint.post("/take-over")
def take_over() -> ResponseReturnValue:
    """Become the administrator in whose name background work is done."""
    open_app.take_over(services(), visitor())
    return shown()


@blueprint.get("/doubtful")
def doubtful() -> ResponseReturnValue:
    """Pairs of both sides that a person must decide."""
    return page("first_sync/doubtful.html", "settings", pairs=first_sync.doubtful(services(), visitor()))


@blueprint.post("/doubtful/<int:pair_id>")
def decide(pair_id: int) -> ResponseReturnValue:
    """The same, or not the same."""
    first_sync.decide(services(), visitor(), pair_id, request.form.get("same") == "yes")
    return part("first_sync/pairs.html", pairs=first_sync.doubtful(services(), visitor()))


@blueprint.get("/deleted")
def deleted_shown() -> ResponseReturnValue:
    """What was deleted in Bitrix24 and is still in Xero."""
    return page("setup/deleted.html", "settings", documents=deleted.listed(services(), visitor()))


@blueprint.post("/deleted/<int:link_id>")
def decide_deleted(link_id: int) -> ResponseReturnValue:
    """Keep it in Xero, or have it deleted or voided there too."""
    deleted.decide(services(), visitor(), link_id, request.form.get("keep") == "yes")
    return part("setup/deleted_documents.html", documents=deleted.listed(services(), visitor()))


@blueprint.post("/first-sync")
def again() -> ResponseReturnValue:
    """Run the first synchronisation once more."""
    first_sync.again(services(), visitor())
    return part("first_sync/card.html", sync=first_sync.progress(services(), visitor()))


@blueprint.post("/brought")
def brought() -> ResponseReturnValue:
    """Switch on or off what is brought from Xero: `documents`, `bills`, `contacts` (present = yes), `bills_place`, `bill-stage:<word>` (a stage id)."""
    found = brought_from_xero.save(services(), visitor(), request.form)
    return part("setup/brought.html", brought=found, saved=found is not None and not found.faults)


@blueprint.get("/bills-place")
def bills_place() -> ResponseReturnValue:
    """Where bills may be kept, for somebody who has just ticked them."""
    return part("setup/bills_place.html", brought=brought_from_xero.asking(services(), visitor()))


@blueprint.post("/stages")
def move_stages() -> ResponseReturnValue:
    """Let the stages follow what Xero says; this runs the portal's robots, so it needed a yes."""
    first_sync.move_stages(services(), visitor())
    return part("first_sync/card.html", sync=first_sync.progress(services(), visitor()))


def _wizard(state: SetUpShown) -> str:
    return page("setup/wizard.html", "settings", setup=state)


def _settings(state: SetUpShown) -> str:
    connected = connect_xero.shown(services(), visitor())
    sync, brought = first_sync.progress(services(), visitor()), brought_from_xero.shown(services(), visitor())
    return page(
        "setup/settings.html", "settings", setup=state, connection=connected, sync=sync, brought=brought, automatic=automatic.shown(services(), visitor())
    )
