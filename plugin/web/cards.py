"""What Bitrix24's own cards show of us, in their tabs: a document, a customer, and an empty state for what is not saved yet."""

from __future__ import annotations

from typing import Literal

from flask import Blueprint
from flask.typing import ResponseReturnValue

from plugin.kinds import KINDS, Kind
from plugin.usecases import NotHere, cards
from plugin.web.here import services, visitor
from plugin.web.invoices import running
from plugin.web.render import part

blueprint = Blueprint("cards", __name__, url_prefix="/cards")

Customer = Literal["company", "contact"]
CUSTOMERS: dict[str, Customer] = {"company": "company", "contact": "contact"}


@blueprint.get("/documents/<document>/<int:crm_id>")
def document(document: str, crm_id: int) -> ResponseReturnValue:
    """The tab of a document."""
    return document_tab(_kind(document), crm_id)


def document_tab(kind: Kind, crm_id: int) -> str:
    """Where this document stands, what differs and what happened, as this person may see it."""
    card = cards.document(services(), visitor(), kind, crm_id)
    return part("cards/document.html", card=card, row=card.row, running=running((card.row,)))


@blueprint.get("/documents/<document>/<int:crm_id>/state")
def state(document: str, crm_id: int) -> ResponseReturnValue:
    """Where it stands, while work runs; the whole tab again when it has ended."""
    row = cards.row_of(services(), visitor(), _kind(document), crm_id)
    return part("cards/state.html", row=row, may_send=True, running=running((row,)), watched=True)


@blueprint.get("/documents/<document>/<int:crm_id>/differences")
def differences(document: str, crm_id: int) -> ResponseReturnValue:
    """The three versions, asked for when the tab is shown."""
    shown = cards.differences(services(), visitor(), _kind(document), crm_id)
    return part("cards/differences.html", shown=shown, document=document, crm_id=crm_id)


@blueprint.get("/customers/<customer>/<int:customer_id>")
def customer(customer: str, customer_id: int) -> ResponseReturnValue:
    """The tab of a company or contact."""
    return part("cards/customer.html", card=cards.customer(services(), visitor(), _customer(customer), customer_id))


@blueprint.get("/customers/<customer>/<int:customer_id>/balance")
def balance(customer: str, customer_id: int) -> ResponseReturnValue:
    """What the customer owes in Xero, asked for when the tab is shown."""
    return part("cards/balance.html", balance=cards.balance(services(), visitor(), _customer(customer), customer_id))


@blueprint.get("/unsaved")
def unsaved() -> ResponseReturnValue:
    """The tab of something that the CRM has not saved yet."""
    return part("cards/unsaved.html")


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise NotHere
    return KINDS[name]


def _customer(name: str) -> Customer:
    if name not in CUSTOMERS:
        raise NotHere
    return CUSTOMERS[name]
