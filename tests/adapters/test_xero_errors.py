import pytest

from plugin.domain.problems import LATER, NEVER, RECONNECT
from plugin.xero import errors
from plugin.xero.errors import problem_of, problem_of_errors, unknown_outcome
from plugin.xero.limits_seen import Seen, seen
from tests.adapters.xero_calls import answer

MESSAGES = [
    ("Invoice # must be unique.", "xero.number_taken", {}),
    ("INVOICE # MUST BE UNIQUE", "xero.number_taken", {}),
    ("Order number must be unique", "xero.number_taken", {}),
    ("Invoice not of valid status for modification", "xero.wrong_status", {}),
    ("Invoice not of valid status for creation", "xero.wrong_status", {}),
    ("Payments can only be made against Authorised documents", "xero.wrong_status", {}),
    ("This document cannot be edited as it has a payment or credit note allocated to it.", "xero.paid_or_credited", {}),
    ("The status VOIDED cannot be applied to the invoice because it has payments or credit notes allocated to it.", "xero.paid_or_credited", {}),
    ("The document date cannot be before the period lock date, currently set at 31 March 2026", "xero.locked_period", {"date": "31 March 2026"}),
    ("The document date cannot be before the end of year lock date, currently set at 31/03/2026.", "xero.locked_year", {"date": "31/03/2026"}),
    ("The document cannot be edited as it is currently dated before the end of year lock date", "xero.locked_year", {"date": ""}),
    ("Account code '999' is not a valid code for this document.", "xero.account_invalid", {"account": "999"}),
    ("Account code '476' has been removed as it does not match a recognised account.", "xero.account_invalid", {"account": "476"}),
    (
        "Account code '201' has been archived, or has been deleted. Each line item must reference a valid account.",
        "xero.account_archived",
        {"account": "201"},
    ),
    ("Account must be valid", "xero.account_missing", {}),
    ("Account code or ID must be specified", "xero.account_missing", {}),
    ("Account code must be specified", "xero.account_missing", {}),
    ("The TaxType field is mandatory", "xero.tax_missing", {}),
    ("The TaxType code 'X1' does not exist or cannot be used", "xero.tax_invalid", {"tax_type": "X1"}),
    ("The TaxType code 'INPUT2' cannot be used with account code '200'.", "xero.tax_account_mismatch", {"tax_type": "INPUT2", "account": "200"}),
    ("Organisation is not subscribed to currency EUR", "xero.currency_missing", {"currency": "EUR"}),
    ("One or more line items must be specified", "xero.lines_missing", {}),
    ("A Contact must be specified for this type of transaction", "xero.contact_missing", {}),
    (
        "The Contact must contain at least 1 of the following elements to identify the contact: Name, ContactID, ContactNumber",
        "xero.contact_missing",
        {},
    ),
    (
        "The contact name Buzz Lightyear is already assigned to another contact. The contact name must be unique across all active contacts.",
        "xero.contact_name_taken",
        {"name": "Buzz Lightyear"},
    ),
    (
        "The specified contact details matched an archived contact. Archived contacts cannot currently be edited via the API.",
        "xero.contact_archived",
        {},
    ),
    ("Please enter a unique Name.", "xero.name_taken", {}),
    ("Email address must be valid.", "xero.email_invalid", {}),
    ("Url must be a valid absolute url", "xero.url_invalid", {}),
    ("Item code 'O'Neill' is not valid", "xero.item_invalid", {"item": "O'Neill"}),
    ("Price List Item with Code 'CONS' already exists", "xero.item_exists", {"item": "CONS"}),
    ("Insufficient stock. Items are eligible for backorder.", "xero.stock_missing", {}),
    ("Payment amount exceeds the amount outstanding on this document", "xero.payment_too_large", {}),
    ("The bank account is archived and cannot be used", "xero.payment_account_archived", {}),
    ("An existing Credit Note with the specified CreditNoteID could not be found", "xero.gone", {}),
    ("The document with the supplied id was not found for this endpoint.", "xero.gone", {}),
    ("You have reached the limit of invoices you can approve", "xero.approval_limit", {}),
    ("Idempotency Key: live:1 is used with a different request.", "xero.key_reused", {}),
    ("Something Xero made up today", "xero.refused", {}),
]


@pytest.mark.parametrize(("message", "code", "params"), MESSAGES)
def test_validation_messages_become_problems(message: str, code: str, params: dict[str, str]) -> None:
    problem = problem_of_errors([message])
    assert (problem.code, problem.params) == (code, {"messages": [message], **params})


def test_the_most_telling_of_several_messages_decides_and_all_are_kept() -> None:
    problem = problem_of_errors(["Something else", "Invoice # must be unique.", "Something else"])
    assert problem.code == "xero.number_taken"
    assert problem.params["messages"] == ["Something else", "Invoice # must be unique."]


def test_no_message_at_all_means_look_first() -> None:
    assert (problem_of_errors([]).code, problem_of_errors([]).retry) == ("xero.unanswered", LATER)


def unauthorised(detail: str, status: int = 401, headers: dict[str, str] | None = None) -> errors.Answer:
    return answer(status, {"Type": None, "Title": "No", "Status": status, "Detail": detail, "Instance": "x", "Extensions": {}}, headers)


@pytest.mark.parametrize(
    ("given", "code", "retry"),
    [
        (unauthorised("TokenExpired: token expired at 09/13/2026 04:05:06"), "xero.token_expired", LATER),
        (unauthorised("TokenInvalidSignature"), "xero.token_invalid", RECONNECT),
        (unauthorised("AuthorizationUnsuccessful", 401, {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}), "xero.scope_missing", NEVER),
        (unauthorised("AuthorizationUnsuccessful", 403), "xero.scope_missing", NEVER),
        (unauthorised("AuthenticationUnsuccessful", 403), "xero.disconnected", RECONNECT),
        (unauthorised("The user's role does not permit this", 403), "xero.forbidden", NEVER),
        (answer(403, {"title": "Forbidden", "status": 403, "detail": "AuthenticationUnsuccessful"}), "xero.disconnected", RECONNECT),
        (answer(403, "<html>Access Denied</html>"), "xero.blocked", NEVER),
        (answer(404, "The resource you're looking for cannot be found", {"Content-Type": "text/html"}), "xero.not_found", NEVER),
        (answer(409), "xero.conflict", LATER),
        (answer(413), "xero.too_large", NEVER),
        (answer(500, "<html>oops</html>"), "xero.server_error", LATER),
        (answer(502), "xero.server_error", LATER),
        (answer(504), "xero.server_error", LATER),
        (answer(405, "no"), "xero.unknown", NEVER),
        (answer(412), "xero.unknown", NEVER),
        (answer(501), "xero.unknown", NEVER),
        (answer(200, "<Response>XML</Response>"), "xero.unknown", LATER),
        (answer(400, {"ErrorNumber": 51, "Type": "HighVolumeException", "Message": "too many"}), "xero.query_too_broad", NEVER),
        (answer(400, {"ErrorNumber": 16, "Type": "QueryParseException", "Message": "bad where"}), "xero.query_refused", NEVER),
        (answer(400, {"ErrorNumber": 14, "Type": "PostDataInvalidException", "Message": "bad body"}), "xero.body_refused", NEVER),
        (answer(400, "Idempotency Key: k is used with a different request."), "xero.key_reused", LATER),
        (answer(400, {"Message": "Idempotency Key: k is used with a different request."}), "xero.key_reused", LATER),
        (answer(400, "<html>?</html>"), "xero.unknown", NEVER),
        (
            answer(400, {"Type": "ValidationException", "Elements": [{"ValidationErrors": [{"Message": "Invoice # must be unique."}]}]}),
            "xero.number_taken",
            NEVER,
        ),
    ],
)
def test_answers_become_problems(given: errors.Answer, code: str, retry: object) -> None:
    problem = problem_of(given)
    assert (problem.code, problem.retry) == (code, retry)


@pytest.mark.parametrize(
    ("kind", "retry_after", "code", "seconds"),
    [
        ("minute", "26", "xero.limit_minute", 26),
        ("day", "3000", "xero.limit_day", 3000),
        ("concurrent", None, "xero.limit_concurrent", 2),
        ("appminute", "5", "xero.limit_app", 5),
        ("something new", None, "xero.limit_minute", 60),
        ("minute", "soon", "xero.limit_minute", 60),
        (None, None, "xero.limit_minute", 60),
    ],
)
def test_limits_say_how_long_to_wait(kind: str | None, retry_after: str | None, code: str, seconds: int) -> None:
    headers = {name: value for name, value in (("X-Rate-Limit-Problem", kind), ("Retry-After", retry_after)) if value is not None}
    problem = problem_of(answer(429, b"", headers))
    assert (problem.code, problem.retry.kind, problem.retry.seconds, problem.params) == (code, "after", seconds, {"seconds": seconds})


def test_an_organisation_offline_is_not_all_of_xero_offline() -> None:
    assert problem_of(answer(503, "The Organisation is offline")).code == "xero.organisation_offline"
    maintenance = problem_of(answer(503, "The Xero API is currently offline for maintenance"))
    assert (maintenance.code, maintenance.retry.kind) == ("xero.unavailable", "after")


def test_an_unknown_refusal_is_shown_in_full_up_to_two_kilobytes_without_tokens() -> None:
    problem = problem_of(answer(418, "Bearer eyJhbGciOi.eyJzdWIi.c2ln " + "x" * 5000, {"Xero-Correlation-Id": "abc"}))
    assert problem.code == "xero.unknown"
    assert problem.params["text"].startswith("Bearer *** xxx")
    assert len(problem.params["text"]) <= 2048
    assert (problem.params["status"], problem.params["correlation"]) == (418, "abc")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (answer(500), True),
        (answer(504, "<html>"), True),
        (answer(409), True),
        (answer(200, "cut off {"), True),
        (answer(200, {}), False),
        (answer(400, {}), False),
        (answer(429), False),
    ],
)
def test_some_answers_leave_open_whether_the_work_was_done(given: errors.Answer, expected: bool) -> None:
    assert unknown_outcome(given) is expected


def test_limits_are_read_whatever_the_case_and_may_be_absent() -> None:
    headers = {
        "x-daylimit-remaining": "344",
        "X-MinLimit-Remaining": "0",
        "X-AppMinLimit-Remaining": "9999",
        "Retry-After": "26",
        "X-Rate-Limit-Problem": "Minute",
    }
    assert seen(headers) == Seen(0, 344, 9999, 26, "minute")
    assert seen({"X-MinLimit-Remaining": "many"}) == Seen()
