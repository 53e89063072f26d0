"""Bitrix24's errors as our problems."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from plugin.bitrix24 import errors
from plugin.bitrix24.errors import STOPPING, TABLE, problem_of
from plugin.domain.problems import Problem


def problem(status: int, error: Any, text: str = "") -> Problem:
    found = problem_of(status, {"error": error, "error_description": text}, "crm.item.list")
    assert found is not None
    return found


def test_a_good_answer_is_no_problem_even_when_its_result_is_false() -> None:
    assert problem_of(200, {"result": False}) is None


def test_an_error_in_the_body_counts_under_status_200() -> None:
    assert problem(200, "ERROR_ARGUMENT").code == "bitrix24.unknown"
    assert problem(200, "wrong_client").code == "bitrix24.client_refused"


@pytest.mark.parametrize("written", ["expired_token", "EXPIRED_TOKEN", "Expired_Token"])
def test_codes_are_matched_without_case(written: str) -> None:
    assert problem(401, written).code == "bitrix24.token_expired"


@pytest.mark.parametrize("error", [100, "100"])
def test_numeric_codes_may_come_as_numbers(error: Any) -> None:
    assert problem(400, error).code == "bitrix24.argument_invalid"


@pytest.mark.parametrize("error", ["", 0, "0", None, "-", "SOMETHING_NEW"])
def test_what_nobody_knows_is_shown_in_full(error: Any) -> None:
    found = problem(400, error, "Stage &quot;Paid&quot; is <b>locked</b>.<br>Ask Ann")
    assert (found.code, found.retry.kind, found.params["text"]) == ("bitrix24.unknown", "never", 'Stage "Paid" is locked .Ask Ann'.replace(" .", " . "))


def test_an_error_object_of_the_newer_kind_is_read() -> None:
    assert problem(403, {"code": "INSUFFICIENT_SCOPE", "message": "crm"}).code == "bitrix24.scope_missing"


def test_a_downgraded_plan_is_told_from_missing_rights() -> None:
    assert problem(403, "ACCESS_DENIED", "REST API is available only on commercial plans").code == "bitrix24.plan"
    assert problem(403, "ACCESS_DENIED", "Access denied!").code == "bitrix24.access_denied"
    assert problem(400, "ACCESS_DENIED").code == "bitrix24.access_denied"


def test_a_spent_budget_waits_until_it_is_reset() -> None:
    told = problem_of(429, {"error": "OPERATION_TIME_LIMIT", "time": {"operating_reset_at": time.time() + 200}}, "crm.item.list")
    assert told is not None
    assert told.retry.kind == "after"
    assert 195 < told.retry.seconds <= 200
    assert told.params["method"] == "crm.item.list"
    assert problem(429, "OPERATION_TIME_LIMIT").retry.seconds == 60


def test_a_full_bucket_is_waited_for() -> None:
    assert (problem(503, "QUERY_LIMIT_EXCEEDED").retry.kind, problem(503, "QUERY_LIMIT_EXCEEDED").code) == ("after", "bitrix24.busy")
    nameless = problem_of(503, {})
    assert nameless is not None
    assert nameless.code == "bitrix24.busy"


def test_a_page_instead_of_json_is_a_passing_problem() -> None:
    found = problem_of(200, None)
    assert found is not None
    assert (found.code, found.retry.kind) == ("bitrix24.not_json", "later")


def test_what_stops_a_portal_pauses_it_and_ends_no_job_for_good() -> None:
    kinds = {retry.kind for code, retry in TABLE.values() if code in STOPPING}
    assert kinds == {"reconnect", "after"}


def test_every_code_of_the_table_is_documented_with_its_retry() -> None:
    documented = dict(re.findall(r"^(bitrix24\.\w+)\s+(never|later|after|reconnect)", errors.__doc__ or "", re.M))
    assert {code: retry.kind for code, retry in TABLE.values()}.items() <= documented.items()


def test_every_code_made_in_this_adapter_is_documented() -> None:
    folder = Path(errors.__file__).parent
    made = {code for file in folder.glob("*.py") for code in re.findall(r'"(bitrix24\.\w+)"', file.read_text())}
    assert made <= set(re.findall(r"bitrix24\.\w+", errors.__doc__ or ""))
