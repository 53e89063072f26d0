"""The opening POST: from Bitrix24's form fields to the document that the iframe shows."""

from __future__ import annotations

import re

from flask import g, render_template, request, url_for
from flask_babel import gettext as _

from plugin.bitrix24.launch import Launch, parse_launch
from plugin.usecases.open_app import Opened
from plugin.web.here import new_pass
from plugin.web.policy import framed_by
from plugin.web.render import shell

#: Bitrix24's words for what a widget stands on: ours for it. A place on none of these, or on a whole list, shows the app itself.
DOCUMENTS = {"SMART_INVOICE": "invoice", "QUOTE": "quote"}
CUSTOMERS = {"COMPANY": "company", "CONTACT": "contact"}
_PLACE = re.compile(r"CRM_(SMART_INVOICE|QUOTE|COMPANY|CONTACT)_(DETAIL_[A-Z]+|LIST_MENU)")


def claimed_launch() -> Launch:
    """What the opening claims. A refusal may already be read inside the portal it names: it holds nothing of value."""
    launch = parse_launch(request.args, request.form)
    framed_by(_origin(launch, launch.domain))
    return launch


def opened_page(opened: Opened, launch: Launch, installing: bool = False) -> str:
    """The document for a confirmed opening: the installer's, or the shell that fetches its first page."""
    person = g.visitor = opened.visitor
    framed_by(_origin(launch, person.domain))
    if installing:
        return render_template("install.html", visitor=person, problems=opened.problems)
    if not opened.installed and not person.admin:
        return render_template("not_installed.html", visitor=person)
    return shell(_start(opened), new_pass(person, launch.app_sid[:64]), _("Tallybridge"))


def _start(opened: Opened) -> str:
    place = _PLACE.fullmatch(opened.placement)
    if place is None:
        return url_for("frame.home")
    if not opened.document_id:
        return url_for("frame.cards.unsaved")
    if place[1] in CUSTOMERS:
        return url_for("frame.cards.customer", customer=CUSTOMERS[place[1]], customer_id=opened.document_id)
    return url_for("frame.cards.document", document=DOCUMENTS[place[1]], crm_id=opened.document_id)


def _origin(launch: Launch, host: str) -> str:
    return f"{'https' if launch.secure else 'http'}://{host}"
