"""The CRM's pages, over plain HTTP and in a browser with Bitrix24's own SDK in the frame."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import services
from tests.sandbox.bitrix24_served import Served

if TYPE_CHECKING:
    from playwright.sync_api import Page

PAGES = (
    "/",
    "/?q=tidewater&page=1",
    "/crm/type/7/list/",
    "/crm/type/31/details/1/",
    "/crm/type/31/details/0/",
    "/crm/type/31/details/60/?IFRAME=Y",
    "/crm/type/7/details/1/",
    "/crm/company/",
    "/crm/company/details/3/",
    "/crm/contact/",
    "/crm/contact/details/1/",
    "/shop/catalog/",
    "/notifications/",
    "/crm/automation/",
    "/crm/automation/?type=7",
    "/marketplace/",
    "/marketplace/app/",
)

#: A page of an app that does, with the real SDK, what ours does.
APP = """<!doctype html><html lang=en><title>App</title><body><h1>App</h1><pre id=out></pre><script src="/b24jssdk.js"></script><script>
(async () => {
  const out = document.getElementById("out"), say = (key, value) => { out.textContent += key + "=" + JSON.stringify(value) + "\\n"; };
  try {
    const b24 = await B24Js.initializeB24Frame();
    say("install", b24.isInstallMode); say("placement", b24.placement.options);
    say("name", (await b24.actions.v2.call.make({ method: "profile" })).getData().result.NAME);
    say("auth", Object.keys(await b24.auth.refreshAuth()).includes("access_token"));
    await b24.parent.setTitle("Hello from the app"); await b24.parent.fitWindow();
    if (b24.isInstallMode) { await b24.installFinish(); } else { say("done", true); }
  } catch (error) { say("error", String(error)); }
})();
</script>"""


@pytest.mark.parametrize("portal", ["harbour", "stranger", "onpremise", "oldinvoices", "westcoast"])
def test_every_page_opens_on_every_portal(served: Served, portal: str) -> None:
    base = served.bitrix24.portals[portal].url
    for path in PAGES:
        if portal == "oldinvoices" and "details/" in path and "company" not in path and "contact" not in path and "/0/" not in path:
            continue
        if "details/60" in path and portal != "harbour":
            continue
        answer = served.session.get(base + path)
        assert answer.status_code == 200, path
        assert "<main" in answer.text


def test_people_see_and_change_what_they_may(served: Served) -> None:
    base = served.harbour.url
    served.session.post(f"{base}/face/act-as", data={"user": "3", "back": "/"})
    page = served.session.get(f"{base}/crm/type/31/details/1/").text
    assert "You may look, but not change" in page
    assert served.session.post(f"{base}/face/item/31/1", data={"title": "x"}).status_code == 403
    served.session.post(f"{base}/face/act-as", data={"user": "2", "back": "/"})
    assert "do not have permission" in served.session.get(f"{base}/crm/type/31/details/1/").text


def test_the_card_saves_rows_stage_and_company(served: Served) -> None:
    base = served.harbour.url
    form = {
        "title": "Changed here",
        "companyId": "4",
        "rows[0][productId]": "101",
        "rows[0][price]": "217.35",
        "rows[0][quantity]": "3",
        "rows[0][taxRate]": "15",
    }
    served.session.post(f"{base}/face/item/31/1", data={**form, "rows[0][discount]": "0", "rows[0][discountTypeId]": "2"})
    served.session.post(f"{base}/face/stage/31/1", data={"stage": "DT31_3:P"})
    invoice = served.harbour.invoices[1]
    assert (invoice["title"], invoice["companyId"], invoice["opportunity"], invoice["stageId"]) == ("Changed here", 4, 652.05, "DT31_3:P")


def test_the_installer_runs_in_the_frame_and_ends_in_the_app(served: Served, page: Page) -> None:
    sdk = Path(services.TREE.packages) / "@bitrix24" / "b24jssdk" / "dist" / "umd" / "index.min.js"
    served.heard.pages = {"install": APP, "app": APP, "placement": APP, "sdk": sdk.read_text()}
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"{served.harbour.url}/marketplace/")
    page.get_by_role("button", name="Install").click()
    page.wait_for_url(re.compile("install_finished=Y"))
    frame = page.frame_locator("iframe")
    frame.get_by_text("done=true").wait_for()
    told = frame.locator("#out").inner_text()
    assert "install=false" in told
    assert 'name="Alice"' in told
    assert "auth=true" in told
    assert page.locator("h1").inner_text() == "Hello from the app"
    assert page.evaluate("document.querySelector('iframe').name").endswith(next(reversed(served.harbour.openings)))
    assert wrong == []


def test_a_tab_and_a_menu_entry_open_the_app_with_their_options(served: Served, page: Page) -> None:
    sdk = Path(services.TREE.packages) / "@bitrix24" / "b24jssdk" / "dist" / "umd" / "index.min.js"
    served.heard.pages = {"install": APP, "app": APP, "placement": APP, "sdk": sdk.read_text()}
    for code in ("CRM_SMART_INVOICE_LIST_MENU", "CRM_SMART_INVOICE_DETAIL_TAB"):
        served.call("placement.bind", {"PLACEMENT": code, "HANDLER": f"{served.settings.app_url}/bitrix24/placement", "TITLE": "To Xero"})
    page.goto(served.harbour.url)
    page.locator("tbody tr").first.locator("summary").click()
    page.get_by_role("button", name="To Xero").first.click()
    slider = page.frame_locator(".slider iframe")
    slider.get_by_text("done=true").wait_for()
    assert '"ID":"60"' in slider.locator("#out").inner_text()
    page.get_by_role("button", name="Close").click()
    page.goto(f"{served.harbour.url}/crm/type/31/details/5/")
    page.get_by_role("tab", name="To Xero").click()
    tab = page.frame_locator("[data-app-mount] iframe")
    tab.get_by_text("done=true").wait_for()
    assert '"ID":"5"' in tab.locator("#out").inner_text()


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_pages_fit_and_are_accessible(served: Served, page: Page, axe_script: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for path in ("/", "/crm/type/31/details/5/", "/crm/company/details/3/", "/marketplace/"):
        page.goto(served.harbour.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        page.evaluate(axe_script)
        found = page.evaluate("axe.run({runOnly: ['wcag2a', 'wcag2aa']})")["violations"]
        assert [(one["id"], one["nodes"][0]["html"][:120]) for one in found] == [], path


def test_an_estimate_becomes_an_invoice_that_knows_it(served: Served) -> None:
    base = served.harbour.url
    card = served.session.get(f"{base}/crm/type/7/details/1/").text
    assert "Half on order, half on delivery." in card
    page = served.session.post(f"{base}/face/quote/1/invoice").text
    assert 'Made from <a href="/crm/type/7/details/1/">' in page
    quote, invoice = served.harbour.quotes[1], served.harbour.invoices[max(served.harbour.invoices)]
    assert (invoice["parentId7"], invoice["opportunity"], invoice["companyId"]) == (1, quote["opportunity"], quote["companyId"])


def bills(served: Served) -> int:
    """A smart process with a bill in it, and the app's own fields on that."""
    made = served.harbour.add_process("Bills <from> suppliers")
    type_id, entity = made["entityTypeId"], f"CRM_{made['id']}"
    for name, kind in (("NUMBER", "string"), ("STATUS", "string"), ("DUE", "money")):
        field = {"entityId": entity, "fieldName": f"UF_{entity}_XERO_{name}", "userTypeId": kind, "editFormLabel": {"en": f"Xero: {name.lower()}"}}
        assert served.call("userfieldconfig.add", {"moduleId": "crm", "field": field}).status == 200
    values = {f"UF_{entity}_XERO_NUMBER": "WM-5521", f"UF_{entity}_XERO_STATUS": "Awaiting payment", f"UF_{entity}_XERO_DUE": "46.00|NZD"}
    rows = [{"productName": "Coffee beans", "price": 23, "quantity": 2, "taxRate": 15}]
    served.harbour.add_item(type_id, rows, title="Beans for May", companyId=4, closedate="2026-12-24", **values)
    return int(type_id)


def test_a_smart_process_has_a_list_and_a_card_for_each_item(served: Served) -> None:
    type_id, base = bills(served), served.harbour.url
    page = served.session.get(f"{base}/crm/type/{type_id}/list/").text
    assert f'<a href="/crm/type/{type_id}/list/" aria-current="page">' in page
    for told in ("Bills &lt;from&gt; suppliers", "Beans for May", "Start", "46.00 NZD", "24 Dec 2026", "WM-5521", "Awaiting payment", "Xero: due"):
        assert told in page, told
    assert "Nothing here" in served.session.get(f"{base}/crm/type/{type_id}/list/?q=nothing").text
    card = served.session.get(f"{base}/crm/type/{type_id}/details/1/").text
    for told in ("Coffee beans", "of which tax 6.00", "Awaiting payment", "24 Dec 2026", served.harbour.companies[4]["title"]):
        assert told in card, told
    assert "<input" not in card.partition("<main")[2]
    assert served.session.get(f"{base}/crm/type/{type_id}/details/2/").status_code == 404
    assert served.session.get(f"{served.bitrix24.portals['stranger'].url}/crm/type/{type_id}/list/").status_code == 404


def test_an_item_of_a_smart_process_is_deleted_by_whoever_may(served: Served) -> None:
    type_id, base = bills(served), served.harbour.url
    served.session.post(f"{base}/face/act-as", data={"user": "3", "back": "/"})
    assert "Delete this item?" not in served.session.get(f"{base}/crm/type/{type_id}/details/1/").text
    assert served.session.post(f"{base}/face/delete/{type_id}/1").status_code == 403
    served.session.post(f"{base}/face/act-as", data={"user": "2", "back": "/"})
    assert "do not have permission" in served.session.get(f"{base}/crm/type/{type_id}/details/1/").text
    served.session.post(f"{base}/face/act-as", data={"user": "1", "back": "/"})
    assert f'<a href="/crm/type/{type_id}/list/" target="_top">' in served.session.post(f"{base}/face/delete/{type_id}/1").text
    assert served.harbour.items(type_id) == {}


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_pages_of_a_smart_process_fit_and_are_accessible(served: Served, page: Page, axe_script: str, width: int) -> None:
    type_id = bills(served)
    page.set_viewport_size({"width": width, "height": 900})
    for path in (f"/crm/type/{type_id}/list/", f"/crm/type/{type_id}/details/1/"):
        page.goto(served.harbour.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        page.evaluate(axe_script)
        found = page.evaluate("axe.run({runOnly: ['wcag2a', 'wcag2aa']})")["violations"]
        assert [(one["id"], one["nodes"][0]["html"][:120]) for one in found] == [], path
