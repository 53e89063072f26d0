"""`catalog.*`: products, prices, VAT, measures, sections (B§9)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sandbox.bitrix24 import dates
from sandbox.bitrix24.call import Call, method
from sandbox.bitrix24.catalog import PRODUCT_IBLOCK
from sandbox.bitrix24.crm import Item
from sandbox.bitrix24.errors import RestError, missing
from sandbox.bitrix24.fields import number, plain
from sandbox.bitrix24.filters import compile_filter, order_rows, split
from sandbox.bitrix24.methods import Bare
from sandbox.bitrix24.php import as_list, as_map

NO_READ, NO_CREATE, NO_PRICE, NO_SECTION = 200040300010, 200040300040, 200040300020, 200040300030

PRODUCT_WRITABLE = (
    "iblockSectionId", "name", "code", "xmlId", "active", "previewText", "previewTextType", "detailText", "detailTextType", "measure", "vatId", "vatIncluded",
    "purchasingPrice", "purchasingCurrency",
    "quantity", "quantityTrace", "canBuyZero", "weight", "width", "length", "height", "sort", "dateActiveFrom", "dateActiveTo",
)  # fmt: skip
PRODUCT_FIELDS = (
    "id",
    "iblockId",
    *PRODUCT_WRITABLE,
    "available",
    "bundle",
    "type",
    "quantityReserved",
    "dateCreate",
    "createdBy",
    "modifiedBy",
    "timestampX",
    "iblockSection",
)
NUMBERS = {
    "id",
    "iblockId",
    "iblockSectionId",
    "measure",
    "vatId",
    "type",
    "sort",
    "createdBy",
    "modifiedBy",
    "quantity",
    "productId",
    "catalogGroupId",
    "price",
    "rate",
    "code_",
}
MOMENTS = {"timestampX", "dateCreate", "dateActiveFrom", "dateActiveTo"}


def _administrator(call: Call, code: int = NO_READ) -> None:
    """Who may: B§9.5."""
    if not call.user.admin:
        raise RestError(code, "Access Denied", 403)


def _viewer(call: Call) -> None:
    if not (call.user.admin or call.user.view_catalog):
        raise RestError(NO_READ, "Access Denied", 403)


def _filtered(call: Call, rows: Iterable[Item], spec: dict[str, Any], fields: tuple[str, ...]) -> list[Item]:
    """No `@` here: an array value means IN, `!` with an array NOT IN (B§9.3)."""

    def resolve(name: str) -> tuple[str, Any]:
        if name not in fields:
            raise RestError("0", f"Field {name} is not allowed in filter", 400)
        if name in MOMENTS:
            return name, lambda value: dates.read_moment(value, call.portal.zone, name)
        return name, (lambda value: "" if value in (None, "") else number(value)) if name in NUMBERS else (lambda value: value)

    for key in spec:
        if split(key)[0] in ("@", "!@"):
            raise RestError("0", f"Operator {split(key)[0]} is not supported in filter", 400)
    ignored = call.portal.switch("catalog_timestamp_filter") == "ignored"
    keep = compile_filter({key: value for key, value in spec.items() if not (ignored and split(key)[1] == "timestampX")}, resolve)
    return [row for row in rows if keep(row)]


def _ordered(call: Call, rows: list[Item], fields: tuple[str, ...]) -> list[Item]:
    order = {key: value for key, value in as_map(call.get("order")).items() if key in fields}
    return call.page(order_rows(rows, order or {"id": "ASC"}, str))


def _shown(call: Call, row: Item, fields: Iterable[str]) -> Item:
    shown: Item = {}
    for name in fields:
        if name in row:
            value = row[name]
            shown[name] = dates.write_moment(value, call.portal.zone) if name in MOMENTS else plain(value) if isinstance(value, float) else value
    return shown


def _selected(call: Call, fields: tuple[str, ...]) -> list[str]:
    wanted = [str(one) for one in as_list(call.get("select"))]
    return list(fields) if not wanted or "*" in wanted else [one for one in fields if one in wanted]


def _plural(call: Call, name: str, rows: list[Item]) -> Any:
    """Under `result`, or beside it as some samples show (B§9.4)."""
    return {name: rows} if call.portal.switch("catalog_list_shape") == "nested" else Bare({name: rows})


@method("catalog.catalog.list", scope="catalog")
def catalog_list(call: Call) -> dict[str, Any]:
    _administrator(call)
    fields = ("iblockId", "iblockTypeId", "id", "lid", "name", "productIblockId", "skuPropertyId", "subscription", "vatId")
    rows = _filtered(call, call.portal.catalog.catalogs, as_map(call.get("filter")), fields)
    return {"catalogs": [_shown(call, one, _selected(call, fields)) for one in _ordered(call, rows, fields)]}


@method("catalog.product.list", scope="catalog")
def product_list(call: Call) -> dict[str, Any]:
    """`select` must name id and iblockId, `filter` must name iblockId (B§9.3)."""
    _viewer(call)
    select = [str(one) for one in as_list(call.get("select"))]
    if not {"id", "iblockId"} <= set(select):
        raise RestError(200040300050, "Required select fields: id, iblockId", 400)
    spec = as_map(call.get("filter"))
    if not any(split(key)[1] == "iblockId" for key in spec):
        raise RestError(200040300043, "Required filter fields: iblockId", 400)
    rows = _filtered(call, call.portal.catalog.products.values(), spec, PRODUCT_FIELDS)
    return {"products": [_shown(call, one, _selected(call, PRODUCT_FIELDS)) for one in _ordered(call, rows, PRODUCT_FIELDS)]}


def _product(call: Call) -> Item:
    found = call.portal.catalog.products.get(call.need_id())
    if found is None:
        raise RestError("0", "product does not exist.", 400)
    return found


@method("catalog.product.get", scope="catalog")
def product_get(call: Call) -> dict[str, Any]:
    _administrator(call)
    return {"product": _shown(call, _product(call), PRODUCT_FIELDS)}


def _product_values(call: Call, fields: Item, but: int) -> Item:
    values = {name: fields[name] for name in PRODUCT_WRITABLE if name in fields}
    if values.get("code") and call.portal.catalog.code_taken(str(values["code"]), but):
        raise RestError("0", "An element with this symbolic code already exists.<br>", 400)
    for name in ("iblockSectionId", "measure", "vatId", "sort"):
        if name in values:
            values[name] = int(number(values[name])) or None
    for name in ("dateActiveFrom", "dateActiveTo"):
        if name in values:
            values[name] = dates.read_moment(values[name], call.portal.zone, name)
    return values


def add_product(portal: Any, values: Item, author: int, kind: int) -> Item:
    """Store a product with the platform's defaults; the seed uses it too."""
    id_ = portal.catalog.take_id("product")
    product: Item = dict.fromkeys(PRODUCT_FIELDS)
    product |= {
        "id": id_,
        "iblockId": PRODUCT_IBLOCK,
        "active": "Y",
        "available": "Y",
        "bundle": "N",
        "type": kind,
        "measure": 5,
        "vatIncluded": "N",
        "sort": 500,
        "quantityTrace": "N",
        "canBuyZero": "Y",
    }
    product |= {
        "previewTextType": "text",
        "detailTextType": "text",
        "createdBy": author,
        "modifiedBy": author,
        "dateCreate": portal.moment(),
        "timestampX": portal.moment(),
    }
    product |= values
    product["iblockSection"] = [product["iblockSectionId"]] if product.get("iblockSectionId") else []
    portal.catalog.products[id_] = product
    return product


def _add(call: Call, kind: int) -> Item:
    _administrator(call, NO_CREATE)
    fields = call.need_map("fields")
    for name in ("iblockId", "name"):
        if not fields.get(name):
            raise missing(name) if name == "iblockId" else RestError("0", "Required fields: name", 400)
    if int(number(fields["iblockId"])) not in {one["iblockId"] for one in call.portal.catalog.catalogs}:
        raise RestError("0", "The specified iblock is not a product catalog", 400)
    product = add_product(call.portal, _product_values(call, fields, 0) | {"iblockId": int(number(fields["iblockId"]))}, call.user.id, kind)
    call.portal.emit("CATALOG.PRODUCT.ON.ADD", {"FIELDS": {"ID": product["id"], "TYPE": kind}}, call.actor)
    return _shown(call, product, PRODUCT_FIELDS)


@method("catalog.product.add", scope="catalog")
def product_add(call: Call) -> dict[str, Any]:
    return {"element": _add(call, 1)}


@method("catalog.product.service.add", scope="catalog")
def service_add(call: Call) -> dict[str, Any]:
    return {"service": _add(call, 7)}


@method("catalog.product.update", scope="catalog")
def product_update(call: Call) -> dict[str, Any]:
    _administrator(call, NO_CREATE)
    product = _product(call)
    values = _product_values(call, call.need_map("fields"), product["id"])
    if any(product.get(name) != value for name, value in values.items()):
        product |= values | {"timestampX": call.portal.moment(), "modifiedBy": call.user.id}
        product["iblockSection"] = [product["iblockSectionId"]] if product.get("iblockSectionId") else []
        call.portal.emit("CATALOG.PRODUCT.ON.UPDATE", {"FIELDS": {"ID": product["id"], "TYPE": product["type"]}}, call.actor)
    return {"element": _shown(call, product, PRODUCT_FIELDS)}


@method("catalog.product.delete", scope="catalog")
def product_delete(call: Call) -> bool:
    _administrator(call, NO_CREATE)
    product = _product(call)
    del call.portal.catalog.products[product["id"]]
    call.portal.emit("CATALOG.PRODUCT.ON.DELETE", {"FIELDS": {"ID": product["id"], "TYPE": product["type"]}}, call.actor)
    return True


# --- prices --------------------------------------------------------------------------------------------------------

PRICE_FIELDS = ("id", "productId", "catalogGroupId", "price", "currency", "priceScale", "quantityFrom", "quantityTo", "extraId", "timestampX")


def _price_right(call: Call) -> None:
    if not (call.user.admin or call.user.change_prices):
        raise RestError(NO_PRICE, "Access Denied", 403)


@method("catalog.price.list", scope="catalog")
def price_list(call: Call) -> dict[str, Any]:
    _viewer(call)
    rows = _filtered(call, call.portal.catalog.prices.values(), as_map(call.get("filter")), PRICE_FIELDS)
    return {"prices": [_shown(call, one, _selected(call, PRICE_FIELDS)) for one in _ordered(call, rows, PRICE_FIELDS)]}


def _price(call: Call) -> Item:
    found = call.portal.catalog.prices.get(call.need_id())
    if found is None:
        raise RestError("0", "price is not exists.", 400)
    return found


@method("catalog.price.get", scope="catalog")
def price_get(call: Call) -> dict[str, Any]:
    _viewer(call)
    return {"price": _shown(call, _price(call), PRICE_FIELDS)}


def add_price(portal: Any, product_id: int, group: int, price: float, currency: str) -> Item:
    """Store a price; the seed uses it too."""
    id_ = portal.catalog.take_id("price")
    row: Item = {
        "id": id_,
        "productId": product_id,
        "catalogGroupId": group,
        "price": price,
        "currency": currency,
        "priceScale": price,
        "quantityFrom": None,
        "quantityTo": None,
        "extraId": None,
        "timestampX": portal.moment(),
    }
    portal.catalog.prices[id_] = row
    return row


@method("catalog.price.add", scope="catalog")
def price_add(call: Call) -> dict[str, Any]:
    _price_right(call)
    fields = call.need_map("fields")
    for name in ("productId", "catalogGroupId", "price", "currency"):
        if fields.get(name) in (None, ""):
            raise RestError("0", f"Required fields: {name}", 400)
    if int(number(fields["productId"])) not in call.portal.catalog.products:
        raise RestError("0", "Product does not exist", 400)
    row = add_price(call.portal, int(number(fields["productId"])), int(number(fields["catalogGroupId"])), number(fields["price"]), str(fields["currency"]))
    call.portal.emit("CATALOG.PRICE.ON.ADD", {"FIELDS": {"ID": row["id"]}}, call.actor)
    return {"price": _shown(call, row, PRICE_FIELDS)}


@method("catalog.price.update", scope="catalog")
def price_update(call: Call) -> dict[str, Any]:
    _price_right(call)
    row, fields = _price(call), call.need_map("fields")
    if "price" in fields:
        row["price"] = row["priceScale"] = number(fields["price"])
    if fields.get("currency"):
        row["currency"] = str(fields["currency"])
    row["timestampX"] = call.portal.moment()
    call.portal.emit("CATALOG.PRICE.ON.UPDATE", {"FIELDS": {"ID": row["id"]}}, call.actor)
    return {"price": _shown(call, row, PRICE_FIELDS)}


@method("catalog.price.delete", scope="catalog")
def price_delete(call: Call) -> bool:
    _price_right(call)
    row = _price(call)
    del call.portal.catalog.prices[row["id"]]
    call.portal.emit("CATALOG.PRICE.ON.DELETE", {"FIELDS": {"ID": row["id"]}}, call.actor)
    return True


@method("catalog.price.modify", scope="catalog")
def price_modify(call: Call) -> dict[str, Any]:
    """Sets the complete collection: prices left out are deleted (B§9.4)."""
    _price_right(call)
    product = as_map(call.need_map("fields").get("product"))
    product_id = int(number(product.get("id")))
    prices = call.portal.catalog.prices
    if product_id not in call.portal.catalog.products:
        raise RestError("0", "Product does not exist", 400)
    kept: list[Item] = []
    for one in as_list(product.get("prices")):
        row = prices.get(int(number(one.get("id")))) or next(
            (old for old in prices.values() if old["productId"] == product_id and old["catalogGroupId"] == int(number(one.get("catalogGroupId")))), None
        )
        row = row or add_price(call.portal, product_id, int(number(one.get("catalogGroupId"))), 0.0, str(one.get("currency")))
        row |= {
            "price": number(one.get("price")),
            "priceScale": number(one.get("price")),
            "currency": str(one.get("currency") or row["currency"]),
            "timestampX": call.portal.moment(),
        }
        kept.append(row)
    for id_ in [row["id"] for row in prices.values() if row["productId"] == product_id and row not in kept]:
        del prices[id_]
    for row in kept:
        call.portal.emit("CATALOG.PRICE.ON.UPDATE", {"FIELDS": {"ID": row["id"]}}, call.actor)
    return {"prices": [_shown(call, row, PRICE_FIELDS) for row in kept]}


# --- lists for administrators -----------------------------------------------------------------------------------------


@method("catalog.priceType.list", scope="catalog")
def price_type_list(call: Call) -> Any:
    _administrator(call)
    fields = ("id", "name", "base", "sort", "xmlId")
    rows = _ordered(call, _filtered(call, call.portal.catalog.price_types, as_map(call.get("filter")), fields), fields)
    return _plural(call, "priceTypes", [_shown(call, one, _selected(call, fields)) for one in rows])


VAT_FIELDS = ("id", "name", "rate", "active", "sort", "timestampX")


@method("catalog.vat.list", scope="catalog")
def vat_list(call: Call) -> Any:
    _administrator(call)
    rows = _ordered(call, _filtered(call, call.portal.catalog.vats.values(), as_map(call.get("filter")), VAT_FIELDS), VAT_FIELDS)
    return _plural(call, "vats", [_shown(call, one, _selected(call, VAT_FIELDS)) for one in rows])


@method("catalog.measure.list", scope="catalog")
def measure_list(call: Call) -> Any:
    _administrator(call)
    fields = ("id", "code", "measureTitle", "symbol", "symbolIntl", "symbolLetterIntl", "isDefault")
    rows = _ordered(call, _filtered(call, call.portal.catalog.measures, as_map(call.get("filter")), fields), fields)
    return _plural(call, "measures", [_shown(call, one, _selected(call, fields)) for one in rows])


SECTION_FIELDS = ("id", "iblockId", "iblockSectionId", "name", "code", "xmlId", "sort", "active", "description")


@method("catalog.section.list", scope="catalog")
def section_list(call: Call) -> Any:
    _administrator(call, NO_SECTION)
    rows = _ordered(call, _filtered(call, call.portal.catalog.sections.values(), as_map(call.get("filter")), SECTION_FIELDS), SECTION_FIELDS)
    return _plural(call, "sections", [_shown(call, one, _selected(call, SECTION_FIELDS)) for one in rows])


@method("catalog.section.add", scope="catalog")
def section_add(call: Call) -> dict[str, Any]:
    _administrator(call, NO_SECTION)
    fields = call.need_map("fields")
    if not fields.get("iblockId") or not fields.get("name"):
        raise RestError("0", "Required fields: iblockId, name", 400)
    return {"section": add_section(call.portal, str(fields["name"]), {name: fields[name] for name in ("code", "xmlId", "sort", "active") if name in fields})}


def add_section(portal: Any, name: str, more: Item | None = None) -> Item:
    """Store a section; the seed uses it too."""
    id_ = portal.catalog.take_id("section")
    row: Item = {
        "id": id_,
        "iblockId": PRODUCT_IBLOCK,
        "iblockSectionId": None,
        "name": name,
        "code": None,
        "xmlId": None,
        "sort": 500,
        "active": "Y",
        "description": None,
    }
    portal.catalog.sections[id_] = row | (more or {})
    return row | (more or {})
