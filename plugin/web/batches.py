"""Orders and what became of them: confirmation, progress, results."""

from __future__ import annotations

from typing import Literal

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from plugin.kinds import KINDS
from plugin.usecases import batches, send_to_xero
from plugin.usecases.shown import BatchShown
from plugin.web import cards
from plugin.web.here import services, visitor, whole, whole_numbers
from plugin.web.invoices import asked_document, asked_filter
from plugin.web.render import instead, page, part

blueprint = Blueprint("batches", __name__, url_prefix="/batches")


@blueprint.get("")
def listed() -> ResponseReturnValue:
    """All batches that this person may see, newest first."""
    number = whole(request.args.get("page", ""))
    found, pages = batches.listed(services(), visitor(), number)
    return page("batches/list.html", "batches", batches=found, number=number, pages=pages)


@blueprint.post("")
def order() -> ResponseReturnValue:
    """Prepare a batch for one, for ticked rows, or for everything in the filter; nothing is sent yet."""
    kind: Literal["send", "pull"] = "pull" if request.form.get("kind") == "pull" else "send"
    everything = "all" in request.form
    batch_id = send_to_xero.prepare(
        services(),
        visitor(),
        KINDS[asked_document(request.form)],
        kind=kind,
        ids=None if everything else whole_numbers(request.form.getlist("id")),
        filter=asked_filter(request.form) if everything else None,
        all_linked="all_linked" in request.form,
        as_new="as_new" in request.form,
        push="push" in request.form,
        keep="keep" in request.form,
    )
    return in_dialog(batches.shown(services(), visitor(), batch_id))


@blueprint.get("/<int:batch_id>/confirmation")
def confirmation(batch_id: int) -> ResponseReturnValue:
    """The dialog, which asks for itself while the batch is prepared."""
    return in_dialog(_shown(batch_id))


@blueprint.get("/<int:batch_id>")
def one(batch_id: int) -> ResponseReturnValue:
    """The page of a batch in whatever state it is."""
    return page("batches/page.html", "batches", batch=_shown(batch_id))


@blueprint.get("/<int:batch_id>/progress")
def progress(batch_id: int) -> ResponseReturnValue:
    """The moving part of that page."""
    return part("batches/body.html", batch=_shown(batch_id))


@blueprint.post("/<int:batch_id>/confirm")
def confirm(batch_id: int) -> ResponseReturnValue:
    """Now it goes."""
    batches.confirm(services(), visitor(), batch_id)
    return _where_it_is_seen(batches.shown(services(), visitor(), batch_id))


@blueprint.post("/<int:batch_id>/cancel")
def cancel(batch_id: int) -> ResponseReturnValue:
    """Stop what has not been sent yet."""
    batches.cancel(services(), visitor(), batch_id)
    return part("batches/body.html", batch=_shown(batch_id))


@blueprint.post("/<int:batch_id>/again")
def again(batch_id: int) -> ResponseReturnValue:
    """Prepare the failed ones once more."""
    return in_dialog(batches.shown(services(), visitor(), send_to_xero.send_again(services(), visitor(), batch_id)))


def _shown(batch_id: int) -> BatchShown:
    number, show = whole(request.values.get("page", "")), request.values.get("show", "")
    return batches.shown(services(), visitor(), batch_id, page=number, show=show)


def in_dialog(batch: BatchShown) -> ResponseReturnValue:
    if batch.state in ("preparing", "to_confirm"):
        return part("batches/dialog.html", batch=batch, card=_card())
    return instead(_where_it_is_seen(batch))


def _card() -> int:
    """The document in whose own card, inside the CRM, the person stands; 0 in the app itself."""
    return whole(request.values.get("card", ""), 0)


def _where_it_is_seen(batch: BatchShown) -> str:
    """Whoever sends from a document's card stays there and sees it move; in the app the batch is shown."""
    if crm_id := _card():
        return cards.document_tab(KINDS[batch.document], crm_id)
    return page("batches/page.html", "batches", batch=batch)
