"""What was made in Xero, as the CRM can hold it: the stages that are proposed for bills."""

from __future__ import annotations

from plugin.domain.brought import propose_bill_stages, stage_of
from plugin.domain.crm import Stage
from plugin.domain.settings import BILL_WORDS, Settings


def stages(*names: str) -> list[Stage]:
    """Stages in this order; "+" before a name is success, "-" is failure."""
    meanings = {"+": "S", "-": "F"}
    return [Stage(name.strip("+-"), name.strip("+-"), "", meanings.get(name[0], ""), sort, 9) for sort, name in enumerate(names)]


def test_the_stages_of_a_process_that_we_made() -> None:
    found = propose_bill_stages(stages("Draft", "Awaiting approval", "Awaiting payment", "+Paid", "-Voided"))
    waiting = "Awaiting payment"
    assert found == {
        "draft": "Draft",
        "submitted": "Awaiting approval",
        **dict.fromkeys(("authorised", "overdue", "part_paid"), waiting),
        "paid": "Paid",
        **dict.fromkeys(("voided", "deleted"), "Voided"),
    }
    assert set(found) == set(BILL_WORDS)


def test_names_count_and_order_fills_the_gaps() -> None:
    found = propose_bill_stages(stages("In", "Geprüft zur Genehmigung", "Offen", "Überfällig", "Teilweise bezahlt", "+Bezahlt"))
    assert (found["submitted"], found["authorised"], found["overdue"]) == ("Geprüft zur Genehmigung", "Offen", "Überfällig")
    assert found["part_paid"] == "Teilweise bezahlt"
    assert "voided" not in found


def test_bitrix24s_own_names_and_few_stages() -> None:
    found = propose_bill_stages(stages("Start", "Preparation", "Approval", "+Success", "-Failure"))
    assert (found["draft"], found["submitted"], found["authorised"], found["paid"]) == ("Start", "Approval", "Approval", "Success")
    assert propose_bill_stages(stages("Only", "+Done"))["authorised"] == "Only"
    assert propose_bill_stages(stages("+Done")) == {}
    assert propose_bill_stages([]) == {}


def test_a_bills_stage_is_that_of_its_word_or_the_first_one() -> None:
    settings = Settings(bill_status_to_stage={"paid": "P"}, stage_to_status={"N": "DRAFT"}, status_to_stage={"paid": "SALES"})
    assert stage_of("paid", settings, "bill") == "P"
    assert stage_of("draft", settings, "bill") == ""
    assert (stage_of("paid", settings), stage_of("draft", settings)) == ("SALES", "N")
