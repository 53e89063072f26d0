"""The product catalogue of a portal: sections, products, prices, VAT rates and measures (B§9)."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

PRODUCT_IBLOCK, OFFERS_IBLOCK, BASE_PRICE = 15, 16, 2

#: id, code, title, symbol; 796 "piece" is the default (B§8.6).
MEASURES = ((1, 6, "Metre", "m"), (2, 112, "Litre", "l"), (3, 163, "Gram", "g"), (4, 166, "Kilogram", "kg"), (5, 796, "Piece", "pcs"), (6, 356, "Hour", "h"))


def _iblock(id_: int, name: str, parent: int | None) -> Row:
    """The row of variations points to its product iblock; that of products points nowhere (B§9.2)."""
    row: Row = {"id": id_, "iblockId": id_, "iblockTypeId": "CRM_PRODUCT_CATALOG", "lid": "s1", "name": name, "subscription": "N", "vatId": None}
    return row | {"productIblockId": parent, "skuPropertyId": 97 if parent else None}


class Catalog:
    """What `catalog.*` reads and writes."""

    def __init__(self) -> None:
        self.catalogs = [_iblock(PRODUCT_IBLOCK, "Product catalog CRM", None), _iblock(OFFERS_IBLOCK, "Product catalog CRM (variations)", PRODUCT_IBLOCK)]
        self.products: dict[int, Row] = {}
        self.prices: dict[int, Row] = {}
        self.sections: dict[int, Row] = {}
        self.price_types: list[Row] = [{"id": BASE_PRICE, "name": "BASE", "base": "Y", "sort": 100, "xmlId": "BASE"}]
        self.vats: dict[int, Row] = {}
        self.measures: list[Row] = [
            {
                "id": id_,
                "code": code,
                "measureTitle": title,
                "symbol": symbol,
                "symbolIntl": symbol,
                "symbolLetterIntl": symbol.upper(),
                "isDefault": "Y" if code == 796 else "N",
            }
            for id_, code, title, symbol in MEASURES
        ]
        self._next = {"product": 101, "price": 501, "section": 21, "vat": 1}

    def take_id(self, kind: str) -> int:
        self._next[kind] += 1
        return self._next[kind] - 1

    def measure_by_code(self, code: int) -> Row:
        return next((one for one in self.measures if one["code"] == code), self.measures[4])

    def measure_code(self, product: Row) -> int:
        return next((one["code"] for one in self.measures if one["id"] == product.get("measure")), 796)

    def vat_id(self, rate: float | None) -> int | None:
        return next((one["id"] for one in self.vats.values() if one["rate"] == rate), None)

    def price_of(self, product_id: int) -> Row | None:
        return next((one for one in self.prices.values() if one["productId"] == product_id and one["catalogGroupId"] == BASE_PRICE), None)

    def code_taken(self, code: str, but: int = 0) -> bool:
        return any(one["code"] == code and one["id"] != but for one in self.products.values())
