"""The one believable business that both stand-ins show: Harbour & Vine Trading Ltd, Auckland.

Pure data. Every company, person, number and address here is invented; e-mail addresses end in `.example`, telephone
numbers lie in ranges kept for fiction, and tax numbers fail their real check digits on purpose.

What the Xero side makes of each company is its `in_xero`:

* `same`     – a contact of the same name exists
* `spelling` – a contact exists whose name (`xero_name`) is written a little differently
* `archived` – the contact exists and is archived
* `taxnumber` – the name exists with another tax number (`xero_tax_number`)
* `no`       – Xero does not know it
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

SELLER = "Harbour & Vine Trading Ltd"
SELLER_AUSTRALIA = "Harbour & Vine Australia Pty Ltd"


@dataclass(frozen=True)
class Address:
    """A place in New Zealand or Australia."""

    line: str
    city: str
    region: str
    postal_code: str
    country: str


@dataclass(frozen=True)
class Company:
    """A customer or supplier, keyed by `key` in both stand-ins."""

    key: str
    name: str
    email: str
    phone: str
    nzbn: str
    tax_number: str
    postal: Address
    street: Address
    is_customer: bool = True
    currency: str = "NZD"
    in_xero: str = "no"
    xero_name: str = ""
    xero_tax_number: str = ""


@dataclass(frozen=True)
class Person:
    """Somebody to speak to; `company` is the key of a company, or empty for a private customer."""

    key: str
    first_name: str
    last_name: str
    email: str
    phone: str
    company: str = ""
    position: str = ""


@dataclass(frozen=True)
class Product:
    """A line of the catalogue. `tax_rate` None means "no tax"; `price` is net; `kind` is `goods` or `service`."""

    code: str
    name: str
    section: str
    price: Decimal
    tax_rate: Decimal | None
    kind: str = "goods"
    in_xero: bool = False


SECTIONS = ("Furniture", "Tableware", "Kitchen equipment", "Linen & décor", "Services", "Vouchers & deposits")


def _nz(line: str, city: str, region: str, postal_code: str) -> Address:
    return Address(line, city, region, postal_code, "New Zealand")


def _au(line: str, city: str, region: str, postal_code: str) -> Address:
    return Address(line, city, region, postal_code, "Australia")


def _company(
    key: str,
    name: str,
    number: int,
    postal: Address,
    street: Address | None = None,
    *,
    is_customer: bool = True,
    currency: str = "NZD",
    in_xero: str = "no",
    xero_name: str = "",
    xero_tax_number: str = "",
) -> Company:
    return Company(
        key=key,
        name=name,
        email=f"accounts@{key}.example",
        phone=f"+61 2 5550 {number:04d}" if postal.country == "Australia" else f"+64 9 555 {100 + number:04d}",
        nzbn="" if postal.country == "Australia" else f"94290000{number:05d}",
        tax_number=f"00 000 000 {number:03d}" if postal.country == "Australia" else f"000-{number:03d}-{(number * 37) % 1000:03d}",
        postal=postal,
        street=street or postal,
        is_customer=is_customer,
        currency=currency,
        in_xero=in_xero,
        xero_name=xero_name,
        xero_tax_number=xero_tax_number,
    )


COMPANIES: tuple[Company, ...] = (
    _company(
        "tidewater-cafe",
        "Tidewater Café Group Ltd",
        1,
        _nz("PO Box 90101", "Auckland", "Auckland", "1142"),
        _nz("14 Shelly Wharf Lane", "Auckland", "Auckland", "1010"),
        in_xero="same",
    ),
    _company("kauri-lodge", "Kauri Ridge Lodge Ltd", 2, _nz("82 Old Sawmill Road", "Whangārei", "Northland", "0110"), in_xero="same"),
    _company(
        "southern-lantern",
        "Southern Lantern Hotels Ltd",
        3,
        _nz("PO Box 70220", "Christchurch", "Canterbury", "8140"),
        _nz("5 Lantern Square", "Christchurch", "Canterbury", "8011"),
        in_xero="same",
    ),
    _company("pipi-street", "Pipi Street Interiors", 4, _nz("31 Pipi Street", "Tauranga", "Bay of Plenty", "3110"), in_xero="same"),
    _company(
        "wattle-and-wren",
        "Wattle & Wren Homewares Pty Ltd",
        5,
        _au("Level 2, 9 Wren Parade", "Sydney", "NSW", "2000"),
        currency="AUD",
        in_xero="same",
    ),
    _company("copper-kettle", "The Copper Kettle Catering Co", 6, _nz("7 Kettle Court", "Hamilton", "Waikato", "3204"), in_xero="same"),
    _company("moana-events", "Moana Events Ltd", 7, _nz("120 Breakwater Esplanade", "Wellington", "Wellington", "6011"), in_xero="same"),
    _company("greenstone-retreat", "Greenstone Valley Retreat", 8, _nz("RD 2", "Queenstown", "Otago", "9372"), in_xero="same"),
    _company(
        "larkfield-school",
        "Larkfield Primary School Board",
        9,
        _nz("200 Larkfield Road", "Palmerston North", "Manawatū", "4410"),
        in_xero="same",
    ),
    _company("orchard-house", "Orchard House Furnishers Ltd", 10, _nz("46 Orchard Lane", "Hastings", "Hawke's Bay", "4122"), in_xero="same"),
    _company(
        "bluegum-bistro",
        "Bluegum Bistro Pty Ltd",
        11,
        _au("18 Gumnut Street", "Melbourne", "VIC", "3000"),
        currency="AUD",
        in_xero="spelling",
        xero_name="Blue Gum Bistro Pty Limited",
    ),
    _company(
        "harakeke-hall",
        "Harakeke Hall Trust",
        12,
        _nz("3 Flaxmill Road", "Rotorua", "Bay of Plenty", "3010"),
        in_xero="spelling",
        xero_name="Harakeke Hall Charitable Trust",
    ),
    _company(
        "three-oaks",
        "Three Oaks Vineyard Ltd",
        13,
        _nz("455 Stony Terrace Road", "Blenheim", "Marlborough", "7201"),
        in_xero="spelling",
        xero_name="3 Oaks Vineyard Limited",
    ),
    _company("fernbank-motel", "Fernbank Motor Lodge Ltd", 14, _nz("1 Fernbank Drive", "Taupō", "Waikato", "3330"), in_xero="archived"),
    _company(
        "saltbush-trading",
        "Saltbush Trading Ltd",
        15,
        _nz("77 Saltbush Crescent", "Napier", "Hawke's Bay", "4110"),
        in_xero="taxnumber",
        xero_tax_number="000-915-000",
    ),
    _company("pohutukawa-spa", "Pōhutukawa Day Spa", 16, _nz("12 Crimson Way", "Auckland", "Auckland", "0622")),
    _company("northbeam-office", "Northbeam Office Fitouts Ltd", 17, _nz("Unit 4, 60 Beam Street", "Auckland", "Auckland", "1061")),
    _company("tui-and-thyme", "Tui & Thyme Kitchen", 18, _nz("9 Thyme Alley", "Nelson", "Nelson", "7010")),
    _company("currawong-stays", "Currawong Serviced Stays Pty Ltd", 19, _au("250 Currawong Avenue", "Brisbane", "QLD", "4000"), currency="AUD"),
    _company("riverstone-church", "Riverstone Community Centre", 20, _nz("88 Riverstone Road", "Upper Hutt", "Wellington", "5018")),
    _company("paper-crane", "Paper Crane Gift Store", 21, _nz("2 Crane Arcade", "Dunedin", "Otago", "9016")),
    _company("ember-and-ash", "Ember & Ash Restaurants Ltd", 22, _nz("33 Ember Street", "New Plymouth", "Taranaki", "4310")),
    _company("willowmill", "Willowmill Timber Joinery Ltd", 23, _nz("5 Mill Race Road", "Rangiora", "Canterbury", "7400"), is_customer=False),
    _company(
        "glasswright",
        "Glasswright Importers Ltd",
        24,
        _nz("Shed 19, Quay Yard", "Mount Maunganui", "Bay of Plenty", "3116"),
        is_customer=False,
    ),
    _company("kestrel-freight", "Kestrel Coastal Freight Ltd", 25, _nz("40 Kestrel Way", "Auckland", "Auckland", "2022"), is_customer=False),
)

PEOPLE: tuple[Person, ...] = (
    Person("mere", "Mere", "Tidewell", "mere@tidewater-cafe.example", "+64 21 555 0101", "tidewater-cafe", "Operations manager"),
    Person("hamish", "Hamish", "Kaurimont", "hamish@kauri-lodge.example", "+64 21 555 0102", "kauri-lodge", "Owner"),
    Person("priya", "Priya", "Lanternwala", "priya@southern-lantern.example", "+64 21 555 0103", "southern-lantern", "Procurement"),
    Person("jonah", "Jonah", "Wrenfield", "jonah@wattle-and-wren.example", "+61 491 570 006", "wattle-and-wren", "Buyer"),
    Person("aroha", "Aroha", "Moanasson", "aroha@moana-events.example", "+64 21 555 0105", "moana-events", "Event producer"),
    Person("felix", "Félix", "Orchardson", "felix@orchard-house.example", "+64 21 555 0106", "orchard-house", "Showroom lead"),
    Person("sina", "Sina", "Palusami-Grey", "sina.palusami-grey@post.example", "+64 21 555 0107"),
    Person("wiremu", "Wiremu", "Stonebridge", "wiremu.stonebridge@post.example", "+64 21 555 0108"),
)

_GST = Decimal(15)
_ZERO = Decimal(0)


def _product(code: str, name: str, section: int, price: str, tax_rate: Decimal | None = _GST, kind: str = "goods", in_xero: bool = False) -> Product:
    return Product(code, name, SECTIONS[section], Decimal(price), tax_rate, kind, in_xero)


PRODUCTS: tuple[Product, ...] = (
    _product("CH-OAK-01", "Dining chair, white oak", 0, "189.00", in_xero=True),
    _product("CH-BIS-02", "Bistro chair, stackable", 0, "74.50", in_xero=True),
    _product("ST-BAR-03", "Bar stool, ash, 750 mm", 0, "129.90", in_xero=True),
    _product("TB-OAK-04", "Dining table, white oak, 2.1 m", 0, "1490.00", in_xero=True),
    _product("TB-CAF-05", "Café table, cast base, 700 mm", 0, "245.00", in_xero=True),
    _product("TB-FLD-06", "Folding trestle table, 1.8 m", 0, "118.26"),
    _product("SF-LNG-07", "Lounge sofa, three seats, sage", 0, "2350.00"),
    _product("SF-ARM-08", "Armchair, sage", 0, "1095.00"),
    _product("BN-OUT-09", "Outdoor bench, teak", 0, "799.13"),
    _product("SH-BKC-10", "Bookcase, five shelves", 0, "534.78"),
    _product("PL-DIN-11", "Dinner plate, stoneware, 270 mm", 1, "14.35", in_xero=True),
    _product("PL-SID-12", "Side plate, stoneware, 180 mm", 1, "9.57", in_xero=True),
    _product("BW-SOU-13", "Soup bowl, stoneware", 1, "11.30"),
    _product("CP-FLT-14", "Flat white cup and saucer", 1, "8.70", in_xero=True),
    _product("GL-WIN-15", "Wine glass, 450 ml, box of 6", 1, "52.17", in_xero=True),
    _product("GL-TUM-16", "Tumbler, 300 ml, box of 12", 1, "43.48"),
    _product("CU-SET-17", "Cutlery set, 24 pieces", 1, "86.96"),
    _product("JG-WAT-18", "Water jug, 1.2 l", 1, "18.26"),
    _product("SV-PLT-19", "Serving platter, acacia", 1, "39.13"),
    _product("TR-SVC-20", "Service tray, non-slip", 1, "27.83"),
    _product("KT-MIX-21", "Planetary mixer, 20 l", 2, "1869.57", in_xero=True),
    _product("KT-BLD-22", "Bar blender, 2 l", 2, "412.17"),
    _product("KT-PAN-23", "Sauté pan, 280 mm", 2, "95.65"),
    _product("KT-STK-24", "Stock pot, 40 l", 2, "173.04"),
    _product("KT-KNF-25", "Chef's knife, 210 mm", 2, "112.17"),
    _product("KT-GAS-26", "Gastronorm pan, 1/1, 100 mm", 2, "33.91"),
    _product("KT-TRL-27", "Kitchen trolley, three tiers", 2, "326.09"),
    _product("KT-SCL-28", "Bench scale, 15 kg", 2, "208.70"),
    _product("LN-TBL-29", "Tablecloth, linen, 2.5 m", 3, "68.70"),
    _product("LN-NAP-30", "Napkins, cotton, pack of 10", 3, "34.35"),
    _product("LN-CUS-31", "Cushion, wool, 500 mm", 3, "56.52"),
    _product("DC-CAN-32", "Pillar candle, set of 3", 3, "21.74"),
    _product("DC-VAS-33", "Vase, hand-thrown", 3, "78.26"),
    _product("DC-LMP-34", "Table lamp, rechargeable", 3, "134.78"),
    _product("SV-DEL-35", "Delivery, metropolitan", 4, "65.00", kind="service", in_xero=True),
    _product("SV-INS-36", "Installation, per hour", 4, "95.00", kind="service", in_xero=True),
    _product("SV-DSG-37", "Interior design consultation, per hour", 4, "140.00", kind="service"),
    _product("SV-EXP-38", "Export freight, trans-Tasman", 4, "480.00", _ZERO, kind="service"),
    _product("VC-GFT-39", "Gift voucher", 5, "100.00", None, kind="service"),
    _product("DP-BND-40", "Refundable hire bond", 5, "250.00", None, kind="service"),
)

#: Invoices that stand in both systems before the first send: number, company key, lines (product code, quantity).
#: Both sides date them so many days back, and price their rows tax included, in whole cents.
KNOWN_INVOICE_AGE_DAYS = 30
KNOWN_INVOICE_TERM_DAYS = 20
KNOWN_INVOICES: tuple[tuple[str, str, tuple[tuple[str, int], ...]], ...] = (
    ("HV-1001", "tidewater-cafe", (("CP-FLT-14", 60), ("SV-DEL-35", 1))),
    ("HV-1002", "kauri-lodge", (("TB-OAK-04", 2), ("CH-OAK-01", 16))),
    ("HV-1003", "southern-lantern", (("GL-WIN-15", 24), ("PL-DIN-11", 120), ("PL-SID-12", 120))),
)


def company(key: str) -> Company:
    """The company of this key."""
    return next(one for one in COMPANIES if one.key == key)


def product(code: str) -> Product:
    """The product of this code."""
    return next(one for one in PRODUCTS if one.code == code)
