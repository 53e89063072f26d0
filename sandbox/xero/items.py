"""Items: writing and showing (X§6.1)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from sandbox.xero.books import Item, Price
from sandbox.xero.desk import Desk
from sandbox.xero.elements import Element, Fields
from sandbox.xero.errors import Refused
from sandbox.xero.lines import find_item
from sandbox.xero.words import ms_time_bare, new_id


class ItemWriter:
    """Creates, changes and deletes items of one organisation."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._books = desk.books

    def create(self, element: Element) -> Item:
        fields = Fields(element, self._desk, [])
        code = self._code(fields)
        if find_item(self._desk, code) is not None:
            raise Refused(f"Price List Item with Code '{code}' already exists")
        return self._save(fields, Item(new_id(), code, self._desk.now), "Created")

    def upsert(self, element: Element) -> Item:
        """POST: by ItemID, else by Code."""
        fields = Fields(element, self._desk, [])
        if identifier := fields.identifier("ItemID"):
            found = self._books.items.get(identifier)
            if found is None:
                raise Refused("The item with the specified ItemID could not be found")
            return self.update(found, element)
        found = find_item(self._desk, self._code(fields))
        return self.create(element) if found is None else self.update(found, element)

    def update(self, item: Item, element: Element) -> Item:
        fields = Fields(element, self._desk, [])
        code = fields.text("Code", 30, item.code) or item.code
        holder = find_item(self._desk, code)
        if holder is not None and holder.id != item.id:
            raise Refused(f"Price List Item with Code '{code}' already exists")
        return self._save(fields, replace(item, code=code), "Edited")

    def delete(self, item: Item) -> None:
        """Final; a tracked item only when no approved document used it."""
        used = (line.item_id == item.id for invoice in self._books.invoices if invoice.status in ("AUTHORISED", "PAID") for line in invoice.lines)
        if item.tracked and any(used):
            raise Refused("The item cannot be deleted because it has been used on an approved transaction")
        self._books.items.remove(item)

    def _code(self, fields: Fields) -> str:
        code = fields.text("Code", 30)
        if fields.errors:
            raise Refused(*fields.errors)
        if not code:
            raise Refused("Code must be specified")
        return code

    def _save(self, fields: Fields, item: Item, note: str) -> Item:
        item = replace(
            item,
            name=fields.text("Name", 50, item.name),
            sold=fields.flag("IsSold", item.sold),
            purchased=fields.flag("IsPurchased", item.purchased),
            description=fields.text("Description", 4000, item.description),
            purchase_description=fields.text("PurchaseDescription", 4000, item.purchase_description),
            sales=self._price(fields, "SalesDetails", item.sales),
            purchase=self._price(fields, "PurchaseDetails", item.purchase),
            inventory_account=fields.text("InventoryAssetAccountCode", 10, item.inventory_account),
            updated=self._desk.now,
        )
        if not item.sold:
            item = replace(item, description="", sales=Price())
        if not item.purchased:
            item = replace(item, purchase_description="", purchase=Price())
        self._check_tracked(fields, item)
        if fields.errors:
            raise Refused(*dict.fromkeys(fields.errors))
        self._books.items.save(item)
        self._desk.note(item.id, note)
        return item

    def _price(self, fields: Fields, name: str, current: Price) -> Price:
        given = fields.part(name)
        if given is None:
            return current
        one = Fields(given, self._desk, fields.errors)
        unit = one.number("UnitPrice")
        price = Price(
            unit=current.unit if unit is None else self._desk.rounding.to(unit, self._desk.places),
            account=one.text("AccountCode", 10, current.account),
            cogs_account=one.text("COGSAccountCode", 10, current.cogs_account),
            tax_type=one.text("TaxType", 50, current.tax_type),
        )
        self._check_price(fields, price)
        return price

    def _check_price(self, fields: Fields, price: Price) -> None:
        for code in filter(None, (price.account, price.cogs_account)):
            account = self._books.account(code)
            if account is None:
                fields.errors.append(f"Account code '{code}' is not a valid code for this document.")
            elif account.status != "ACTIVE":
                fields.errors.append(f"Account code '{code}' has been archived, or has been deleted. Each line item must reference a valid account.")
        rate = self._books.tax_rates.get(price.tax_type)
        if price.tax_type and (rate is None or rate.status != "ACTIVE"):
            fields.errors.append(f"The TaxType code '{price.tax_type}' does not exist or cannot be used")

    def _check_tracked(self, fields: Fields, item: Item) -> None:
        """An inventory account and a COGS account together make an item tracked; then it has no purchase account."""
        if not item.tracked:
            if item.purchase.cogs_account:
                fields.errors.append("COGSAccountCode can only be used with tracked items")
            return
        account = self._books.account(item.inventory_account)
        if account is None or account.type != "INVENTORY":
            fields.errors.append("The InventoryAssetAccountCode must be an account of type INVENTORY")
        if not item.purchase.cogs_account:
            fields.errors.append("The COGSAccountCode is required for tracked items")
        if item.purchase.account:
            fields.errors.append("AccountCode cannot be used in the PurchaseDetails of tracked items")


def _price(desk: Desk, price: Price, places: int) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if price.unit is not None:
        shown["UnitPrice"] = desk.rounding.to(price.unit, places)
    shown |= {"AccountCode": price.account, "COGSAccountCode": price.cogs_account, "TaxType": price.tax_type}
    return {key: value for key, value in shown.items() if value != ""}


def render(desk: Desk, item: Item) -> dict[str, Any]:
    """An item as Xero shows it; its time carries no offset (X§2.3)."""
    shown: dict[str, Any] = {"ItemID": item.id, "Code": item.code}
    texts = {"Name": item.name, "Description": item.description, "PurchaseDescription": item.purchase_description}
    shown |= {key: value for key, value in texts.items() if value}
    shown["UpdatedDateUTC"] = ms_time_bare(item.updated)
    shown |= {"PurchaseDetails": _price(desk, item.purchase, desk.places), "SalesDetails": _price(desk, item.sales, desk.places)}
    shown |= {"IsTrackedAsInventory": item.tracked, "IsSold": item.sold, "IsPurchased": item.purchased}
    if item.tracked:
        shown |= {"InventoryAssetAccountCode": item.inventory_account, "QuantityOnHand": item.on_hand, "TotalCostPool": item.cost_pool}
    return shown


def move_stock(desk: Desk, lines: list[tuple[str, Decimal]], sign: int) -> None:
    """Approved documents and voids change what is on hand of tracked items."""
    for item_id, quantity in lines:
        item = desk.books.items.get(item_id)
        if item is not None and item.tracked:
            desk.books.items.save(replace(item, on_hand=item.on_hand + sign * quantity))
