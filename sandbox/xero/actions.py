"""What people do in Xero's own pages: approve, pay, void, edit, archive, merge, lock, disconnect.

The face, the levers over HTTP and tests in the same process all come through here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from sandbox.xero import contacts, invoices
from sandbox.xero.books import BILL, Contact, CreditNote, Invoice, Item, Payment, Quote
from sandbox.xero.contacts import ContactWriter
from sandbox.xero.credit_notes import CreditNoteWriter
from sandbox.xero.desk import Desk
from sandbox.xero.errors import Refused
from sandbox.xero.invoices import InvoiceWriter
from sandbox.xero.items import ItemWriter
from sandbox.xero.ledgers import AccountWriter
from sandbox.xero.payments import PaymentWriter
from sandbox.xero.quotes import QuoteWriter
from sandbox.xero.words import is_id

if TYPE_CHECKING:
    from sandbox.xero.world import World

T = TypeVar("T")


class Actions:
    """Every method names the organisation first, by tenant id or name; refusals are `Refused`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def tenant(self, name: str) -> str:
        """A tenant id, from itself or from the organisation's name."""
        if name in self._world.books:
            return name
        return next(one.tenant_id for one in self._world.books.values() if one.organisation.name == name)

    def _work(self, tenant: str, user: str, work: Callable[[Desk], T]) -> T:
        """Under the lock, all or nothing, with the news that follow."""
        with self._world.lock:
            desk = self._world.desk(self.tenant(tenant), user)
            try:
                return work(desk)
            except Refused:
                desk.books.journal.back_to(0)
                raise
            finally:
                self._world.settle(desk.books)

    def _invoice(self, desk: Desk, key: str) -> Invoice:
        found = desk.books.invoices.get(key) if is_id(key) else invoices.by_number(desk.books, key)
        if found is None:
            raise Refused(f"There is no invoice {key}")
        return found

    def _contact(self, desk: Desk, key: str) -> Contact:
        found = desk.books.contacts.get(key) if is_id(key) else desk.books.active_contact(key) or desk.books.archived_contact(key)
        if found is None:
            raise Refused(f"There is no contact {key}")
        return found

    # Invoices.

    def create_invoice(self, tenant: str, element: dict[str, Any], user: str = "Olivia Standard") -> Invoice:
        """As somebody types it in; `element` speaks the API's words."""
        return self._work(tenant, user, lambda desk: InvoiceWriter(desk).create(element))

    def create_bill(
        self,
        tenant: str,
        supplier: str,
        lines: list[dict[str, Any]],
        number: str = "",
        day: date | str | None = None,
        due: date | str | None = None,
        status: str = "DRAFT",
        user: str = "Olivia Standard",
        **more: Any,
    ) -> Invoice:
        """A bill as somebody types it in: a supplier by id or name, who is made if nobody has that name, and the number on the supplier's paper."""
        element: dict[str, Any] = {"Type": BILL, "Contact": {"ContactID": supplier} if is_id(supplier) else {"Name": supplier}, "InvoiceNumber": number}
        element |= {name: str(value) for name, value in (("Date", day), ("DueDate", due)) if value}
        return self.create_invoice(tenant, element | {"LineItems": lines, "Status": status} | more, user)

    def edit(self, tenant: str, invoice: str, user: str = "Olivia Standard", **changes: Any) -> Invoice:
        """Change fields by their API names, for example `Reference="PO 7"` or `LineItems=[…]`."""
        return self._work(tenant, user, lambda desk: InvoiceWriter(desk).update(self._invoice(desk, invoice), changes))

    def approve(self, tenant: str, invoice: str, user: str = "Olivia Standard") -> Invoice:
        return self.edit(tenant, invoice, user, Status="AUTHORISED")

    def void(self, tenant: str, invoice: str, user: str = "Olivia Standard") -> Invoice:
        return self.edit(tenant, invoice, user, Status="VOIDED")

    def delete(self, tenant: str, invoice: str, user: str = "Olivia Standard") -> Invoice:
        return self.edit(tenant, invoice, user, Status="DELETED")

    def add_line(self, tenant: str, invoice: str, user: str = "Olivia Standard", **line: Any) -> Invoice:
        """One more line; the others stay."""

        def work(desk: Desk) -> Invoice:
            found = self._invoice(desk, invoice)
            kept = [{"LineItemID": one.id} for one in found.lines]
            return InvoiceWriter(replace(desk, places=4)).update(found, {"LineItems": [*kept, line]})

        return self._work(tenant, user, work)

    def pay(
        self, tenant: str, invoice: str, amount: Decimal | str | None = None, account: str = "090", day: date | None = None, user: str = "Olivia Standard"
    ) -> Payment:
        """Pay in part, or in full when no amount is given."""

        def work(desk: Desk) -> Payment:
            found = self._invoice(desk, invoice)
            element: dict[str, Any] = {
                "Invoice": {"InvoiceID": found.id},
                "Account": {"Code": account},
                "Amount": str(found.due if amount is None else amount),
                "Date": (day or desk.today).isoformat(),
            }
            return PaymentWriter(desk).create(element)

        return self._work(tenant, user, work)

    def unpay(self, tenant: str, payment: str, user: str = "Olivia Standard") -> Payment:
        """Remove a payment."""
        return self._work(tenant, user, lambda desk: PaymentWriter(desk).delete(desk.books.payments[payment], {"Status": "DELETED"}))

    # Credit notes and quotes.

    def create_credit_note(self, tenant: str, element: dict[str, Any], user: str = "Olivia Standard") -> CreditNote:
        return self._work(tenant, user, lambda desk: CreditNoteWriter(desk).create(element))

    def allocate(self, tenant: str, credit_note: str, invoice: str, amount: Decimal | str, user: str = "Olivia Standard") -> None:
        """Set a credit note against an invoice."""

        def work(desk: Desk) -> None:
            note = desk.books.credit_notes[credit_note]
            CreditNoteWriter(desk).allocate(note, {"Invoice": {"InvoiceID": self._invoice(desk, invoice).id}, "Amount": str(amount)})

        self._work(tenant, user, work)

    def create_quote(self, tenant: str, element: dict[str, Any], user: str = "Olivia Standard") -> Quote:
        return self._work(tenant, user, lambda desk: QuoteWriter(desk).create(element))

    def edit_quote(self, tenant: str, quote: str, user: str = "Olivia Standard", **changes: Any) -> Quote:
        """What the web page changes; what it does not mention stays."""

        def work(desk: Desk) -> Quote:
            found = desk.books.quotes[quote]
            stays = {
                "Contact": {"ContactID": found.contact_id}, "Date": found.date.isoformat(), "QuoteNumber": found.number, "Title": found.title,
                "Summary": found.summary, "Terms": found.terms, "LineAmountTypes": found.line_amount_types.upper(),
            }  # fmt: skip
            return QuoteWriter(desk).update(found, stays | changes)

        return self._work(tenant, user, work)

    # Contacts and items.

    def create_contact(self, tenant: str, element: dict[str, Any], user: str = "Olivia Standard") -> Contact:
        return self._work(tenant, user, lambda desk: ContactWriter(desk).create(element))

    def edit_contact(self, tenant: str, contact: str, user: str = "Olivia Standard", **changes: Any) -> Contact:
        return self._work(tenant, user, lambda desk: ContactWriter(desk).update(self._contact(desk, contact), changes))

    def archive_contact(self, tenant: str, contact: str, user: str = "Olivia Standard") -> Contact:
        return self.edit_contact(tenant, contact, user, ContactStatus="ARCHIVED")

    def restore_contact(self, tenant: str, contact: str, user: str = "Olivia Standard") -> Contact:
        """Only the web page can do this (X§5.4)."""

        def work(desk: Desk) -> Contact:
            found = replace(self._contact(desk, contact), status="ACTIVE", updated=desk.now)
            if desk.books.active_contact(found.name) is not None:
                raise Refused(f"There is an active contact named {found.name}")
            desk.books.contacts.save(found)
            desk.note(found.id, "Restored")
            desk.books.tell("CONTACT", "UPDATE", found.id)
            return found

        return self._work(tenant, user, work)

    def merge_contacts(self, tenant: str, loser: str, winner: str, user: str = "Olivia Standard") -> None:
        self._work(tenant, user, lambda desk: contacts.merge(desk, self._contact(desk, loser), self._contact(desk, winner)))

    def create_item(self, tenant: str, element: dict[str, Any], user: str = "Olivia Standard") -> Item:
        return self._work(tenant, user, lambda desk: ItemWriter(desk).create(element))

    # Settings.

    def archive_account(self, tenant: str, code: str, status: str = "ARCHIVED") -> None:
        """Archive an account, or restore it with status ACTIVE."""

        def work(desk: Desk) -> None:
            account = desk.books.account(code)
            if account is None:
                raise Refused(f"There is no account {code}")
            AccountWriter(desk).update(account, {"Status": status})

        self._work(tenant, "Olivia Standard", work)

    def tax_rate_status(self, tenant: str, tax_type: str, status: str = "DELETED") -> None:
        self._work(tenant, "Olivia Standard", lambda desk: setattr(desk.books.tax_rates[tax_type], "status", status))

    def archive_option(self, tenant: str, category: str, option: str, status: str = "ARCHIVED") -> None:
        """Archive a tracking option."""

        def work(desk: Desk) -> None:
            found = next(one for one in desk.books.tracking if one.name == category)
            next(one for one in found.options if one.name == option).status = status

        self._work(tenant, "Olivia Standard", work)

    def lock_date(self, tenant: str, period: date | str | None = None, year: date | str | None = None) -> None:
        """Set both lock dates; None removes one."""

        def work(desk: Desk) -> None:
            organisation = desk.books.organisation
            organisation.period_lock, organisation.year_lock = (date.fromisoformat(one) if isinstance(one, str) else one for one in (period, year))

        self._work(tenant, "Olivia Standard", work)

    def organisation_set(self, tenant: str, **changes: Any) -> None:
        """Anything else about the organisation: `plan`, `approvals`, `offline`, `multicurrency`, `name` …"""

        def work(desk: Desk) -> None:
            for name, value in changes.items():
                if not hasattr(desk.books.organisation, name):
                    raise Refused(f"An organisation has no {name}")
                setattr(desk.books.organisation, name, value)

        self._work(tenant, "Olivia Standard", work)

    # Users, connections and limits.

    def disconnect(self, tenant: str, user: str = "") -> int:
        """Settings → Connected apps → Disconnect: the connections of this organisation vanish (X§1.5)."""
        with self._world.lock:
            identity, id_ = self._world.identity, self.tenant(tenant)
            gone = [one for one in identity.connections.values() if one.tenant_id == id_ and (not user or identity.users[user].id == one.user_id)]
            for one in gone:
                del identity.connections[one.id]
            return len(gone)

    def set_role(self, tenant: str, user: str, role: str) -> None:
        """Change or remove (`REMOVED`) a user's role."""
        with self._world.lock:
            identity = self._world.identity
            membership = identity.membership(identity.users[user], self.tenant(tenant))
            if membership is None:
                raise Refused(f"{user} is no user of this organisation")
            membership.role, membership.updated = role, identity.now

    def revoke(self, user: str) -> None:
        """All tokens of this user die."""
        with self._world.lock:
            identity = self._world.identity
            for token in [key for key, one in identity.refresh.items() if one.user.key == user]:
                identity.revoke(token)

    def leave(self, tenant: str, minute: int | None = None, day: int | None = None) -> None:
        """So many calls are left of the minute or the day."""
        with self._world.lock:
            self._world.limits.leave(self.tenant(tenant), minute, day)

    def limits(self, tenant: str, on: bool = True, day: int | None = None, minute: int | None = None) -> None:
        """An organisation's own limits: switched off, or other numbers."""
        with self._world.lock:
            allowance = self._world.limits.of(self.tenant(tenant))
            allowance.switched_off, allowance.day_limit, allowance.minute_limit = not on, day, minute

    def fill(self, tenant: str, count: int, prefix: str = "BULK-", status: str = "AUTHORISED", by_app: bool = True) -> list[str]:
        """Many invoices at once, for measurements; no news are sent. Returns their ids."""
        with self._world.lock:
            desk = self._world.desk(self.tenant(tenant), by_app=by_app)
            contact = next(one for one in desk.books.contacts if one.status == "ACTIVE")
            line = {"Description": "Bulk", "Quantity": 1, "UnitAmount": 100, "AccountCode": "200"}
            made = []
            for number in range(1, count + 1):
                element = {
                    "Type": "ACCREC", "Status": status, "Contact": {"ContactID": contact.id}, "InvoiceNumber": f"{prefix}{number:05d}",
                    "Date": desk.today.isoformat(), "DueDate": desk.today.isoformat(), "LineItems": [line],
                }  # fmt: skip
                made.append(InvoiceWriter(desk).create(element).id)
            desk.books.events.clear()
            desk.books.journal.clear()
            return made
