from dataclasses import replace
from typing import Any

import pytest

from plugin.domain.crm import Invoice
from plugin.domain.preview import check_before_send
from plugin.domain.problems import Problem
from tests.domain.build import ACCOUNTS, ORGANISATION, SETTINGS, TAX_RATES, D, invoice, row, send

DIRECTORY: dict[str, Any] = {"accounts": ACCOUNTS, "tax_rates": TAX_RATES, "currencies": {"NZD"}}


def verdict(given: Invoice, link_state: str | None = None, **more: Any) -> Any:
    return check_before_send(given, SETTINGS, ORGANISATION, link_state, **(DIRECTORY | more))


@pytest.mark.parametrize(("state", "expected"), [(None, "new"), ("", "new"), ("DRAFT", "update"), ("PAID", "update")])
def test_an_invoice_is_new_or_an_update_by_its_link(state: str | None, expected: str) -> None:
    assert verdict(invoice(), state) == expected


@pytest.mark.parametrize("state", ["VOIDED", "DELETED"])
def test_a_document_gone_in_xero_is_named_before_anything_is_sent(state: str) -> None:
    found = verdict(invoice(), state)
    assert (found.code, found.params) == ("edit.gone", {"status": state})
    assert verdict(invoice(stage_id="DT31_1:V"), state) == "update"


@pytest.mark.parametrize(
    "given",
    [
        invoice(company_id=None),
        invoice(total=D(1)),
        invoice(total=D(1), manual_total=True),
        invoice(stage_id="DT31_1:D"),
        invoice(currency="EUR"),
        invoice(row(tax_rate="18")),
        replace(invoice(), rows=(), total=D(0)),
    ],
)
def test_the_list_and_sending_refuse_for_the_same_reason(given: Invoice) -> None:
    with pytest.raises(Problem) as caught:
        send(given, currencies={"NZD"})
    found = verdict(given)
    assert (found.code, found.params) == (caught.value.code, caught.value.params)


def test_what_is_not_known_yet_is_not_judged() -> None:
    unread = replace(invoice(company_id=3), rows=(), rows_read=False)
    assert verdict(unread) == "new"
    assert check_before_send(invoice(row(tax_rate="18"), currency="EUR"), SETTINGS, ORGANISATION, None) == "new"
    assert verdict(replace(unread, company_id=None)).code == "send.no_customer"
