"""A work becomes a draft, and a draft of something linked becomes a change: one implementation for the confirmation and for sending.

| Code | When |
|---|---|
| edit.conflict (differences, number, first, made_there) | changed on both sides since the last transfer, or a line added in Xero (RULES 19) |
| xero.gone (number) | Xero does not know the linked document any more |

`first`: it was never sent by us; `made_there`: Xero is its author.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from plugin import directory
from plugin.domain.checks import lock_date
from plugin.domain.compare import Conflict, Unchanged, Update, compare, push
from plugin.domain.drafts import draft_from_json, fingerprint
from plugin.domain.ledger import Account, Document, Draft, TaxRate
from plugin.domain.ledger import Organisation as Books
from plugin.domain.numbers import document_number, reference_mark
from plugin.domain.problems import Problem
from plugin.domain.translate import translate
from plugin.kinds import QUOTE
from plugin.models import Organisation
from plugin.portals import currencies, organisation_value
from plugin.sending.work import Work, crm_url


@dataclass(frozen=True)
class Lists:
    """What documents are checked against, as the directory has it now."""

    organisation: Books
    accounts: Mapping[str, Account]
    tax_rates: Mapping[str, TaxRate]
    currencies: tuple[str, ...]


def lists_of(session: Session, organisation_id: int) -> Lists:
    """The directory's lists of an organisation."""
    row = session.get_one(Organisation, organisation_id)
    return Lists(organisation_value(row), directory.accounts(session, row.id), directory.tax_rates(session, row.id), currencies(row))


def draft_of(one: Work, lists: Lists) -> Draft:
    """What Xero shall hold of this work, its contact and items not known yet (`with_references`); raises the problem that says why it cannot."""
    number = document_number(one.settled, one.ready.settings, _suffix(one))
    draft = translate(
        one.settled,
        settings=one.ready.settings,
        organisation=lists.organisation,
        accounts=lists.accounts,
        tax_rates=lists.tax_rates,
        currencies=lists.currencies,
        contact_id="",
        contact_tax=one.ready.settings.tax_by_customer.get(one.customer.subject, "") if one.customer else "",
        products=one.products,
        url=crm_url(one.ready.portal.client_endpoint, one.kind, one.crm_id),
        number=number,
        mark=_mark(one) if one.kind is QUOTE and not number else "",
        quote_number=one.quote.number if one.quote is not None else "",
        linked=one.link is not None and not one.as_new,
        older_too=one.job.acting_user is not None or bool((one.job.payload or {}).get("rule")),
    )
    link = one.link
    if link is not None and link.sent and not one.as_new and link.stage_written == one.settled.stage_id:
        # We moved it into this stage ourselves: that orders nothing (RULES 20).
        return replace(draft, status=str(link.sent["status"]))
    return draft


def _mark(one: Work) -> str:
    """A quote without our number is found again by its reference (RULES 11); one sent as new has another mark."""
    suffix = _suffix(one)
    return reference_mark(one.ready.portal.member_id, one.settled) + (f"-{suffix}" if suffix else "")


def _suffix(one: Work) -> int:
    if one.as_new and one.link is not None:
        return one.link.suffix + 1 if one.link.suffix else 2
    return one.link.suffix if one.link is not None else 0


def differs(one: Work, draft: Draft) -> bool:
    """Does the CRM say anything that Xero was not told? What a person sends over the other side's word always does."""
    assert one.link is not None
    return one.link.crm_fingerprint != fingerprint(draft) or _moved_from(one) not in ("", draft.status) or bool((one.job.payload or {}).get("push"))


def _moved_from(one: Work) -> str:
    """The status of the stage into which we moved a quote, if somebody moved it on from there: that is what the CRM said last, not what was sent.

    Of an invoice the CRM only ever moves the status forward (RULES 20), so that going back orders nothing.
    """
    link, stage = one.link, one.settled.stage_id
    if link is None or one.kind is not QUOTE or link.stage_written in ("", stage):
        return ""
    return one.ready.settings.status_for(link.stage_written, QUOTE.name)


def change_of(one: Work, held: Document | None, lists: Lists) -> Update | Unchanged:
    """What an update has to send, by three versions (RULES 19); raises the problem that forbids it."""
    assert one.link is not None
    if held is None:
        raise Problem("xero.gone", number=one.link.number)
    lock = lock_date(lists.organisation)
    if (one.job.payload or {}).get("push"):
        result = push(one.drafted, held, lock=lock)
    else:
        base = draft_from_json(one.link.sent) if one.link.sent else None
        if base is not None and (moved := _moved_from(one)):
            base = replace(base, status=moved)
        result = compare(base, one.drafted, held, lock=lock)
        if isinstance(result, Conflict) and one.perhaps_sent is not None:
            # What looks like the bookkeeper's change may be our own, whose answer was lost.
            result = compare(one.perhaps_sent, one.drafted, held, lock=lock)
    if isinstance(result, Conflict) and (one.job.payload or {}).get("keep"):
        # The person saw both values and leaves Xero's: what the CRM says now counts as sent, so that it is no difference any more.
        return Unchanged()
    if isinstance(result, Conflict):
        differences = [{"field": each.field, "sent": _text(each.sent), "crm": _text(each.crm), "xero": _text(each.xero)} for each in result.differences]
        raise Problem("edit.conflict", differences=differences, number=held.number, first=not one.link.sent, made_there=one.made_there)
    if one.made_there:
        return Unchanged()  # neither our marks nor the stage are laid over what the bookkeeper made
    return result


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
