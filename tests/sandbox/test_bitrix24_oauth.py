"""The authorisation server and the portal's authentication against B§2 and B§3.5."""

from __future__ import annotations

import pytest

from tests.sandbox.bitrix24_served import Served


def test_a_refresh_gives_a_new_pair_and_ends_the_old_refresh_token(served: Served) -> None:
    opening = served.installed()
    first = served.oauth(grant_type="refresh_token", refresh_token=opening.fields["REFRESH_ID"])
    assert first.status == 200
    assert first.body["refresh_token"] != opening.fields["REFRESH_ID"]
    assert first.body["domain"] == served.settings.oauth_url.partition("//")[2]
    assert first.body["client_endpoint"] == f"{served.harbour.url}/rest/"
    assert {"expires", "user_id", "member_id", "scope", "status", "server_endpoint"} <= set(first.body)
    again = served.oauth(grant_type="refresh_token", refresh_token=opening.fields["REFRESH_ID"])
    assert (again.status, again.error) == (400, "invalid_grant")


def test_the_previous_refresh_token_may_stay_valid(served: Served) -> None:
    opening = served.installed()
    served.switch("oauth_previous_refresh", "stays")
    for _ in range(2):
        assert served.oauth(grant_type="refresh_token", refresh_token=opening.fields["REFRESH_ID"]).status == 200


@pytest.mark.parametrize(("position", "get", "post"), [("both", 200, 200), ("get_only", 200, 400), ("post_only", 400, 200)])
def test_verbs_of_the_token_address(served: Served, position: str, get: int, post: int) -> None:
    served.switch("oauth_token_verb", position)
    for verb, status in (("GET", get), ("POST", post)):
        assert served.oauth(verb, grant_type="refresh_token", refresh_token=served.installed().fields["REFRESH_ID"]).status == status


def test_a_wrong_secret_is_an_error_even_under_200(served: Served) -> None:
    opening = served.installed()
    wrong = {"grant_type": "refresh_token", "refresh_token": opening.fields["REFRESH_ID"], "client_secret": "wrong"}
    assert served.oauth(**wrong).error == "invalid_client"
    served.switch("oauth_client_mismatch", "wrong_client_200")
    assert (served.oauth(**wrong).status, served.oauth(**wrong).error) == (200, "wrong_client")


def test_a_code_is_good_once_and_for_thirty_seconds(served: Served) -> None:
    served.installed()
    tokens, clock = served.bitrix24.tokens, served.bitrix24.controls.clock
    code = tokens.issue_code(served.harbour.member_id, 1)
    pair = served.oauth(grant_type="authorization_code", code=code)
    assert pair.status == 200
    assert "user_id" not in pair.body
    assert served.oauth(grant_type="authorization_code", code=code).error == "invalid_grant"
    late = tokens.issue_code(served.harbour.member_id, 1)
    clock.advance(31)
    assert served.oauth(grant_type="authorization_code", code=late).error == "invalid_grant"


def test_access_tokens_live_an_hour_and_refresh_tokens_half_a_year(served: Served) -> None:
    opening = served.installed()
    served.bitrix24.controls.clock.advance(3601)
    expired = served.call("profile", token=opening.fields["AUTH_ID"])
    assert (expired.status, expired.error) == (401, "expired_token")
    assert served.oauth(grant_type="refresh_token", refresh_token=opening.fields["REFRESH_ID"]).status == 200
    other = served.installed()
    served.bitrix24.controls.clock.advance(181 * 86400)
    assert served.oauth(grant_type="refresh_token", refresh_token=other.fields["REFRESH_ID"]).error == "invalid_grant"


def test_trusted_app_info_names_app_user_and_portal(served: Served) -> None:
    opening = served.installed(user=2)
    told = served.trusted(opening.fields["AUTH_ID"]).result
    assert told["client_id"] == served.settings.bitrix24_client_id
    assert told["user_id"] == 2
    assert told["install"]["member_id"] == served.harbour.member_id
    assert told["install"]["client_endpoint"] == f"{served.harbour.url}/rest/"
    assert told["install"]["installed"] is True
    assert served.trusted("garbage").status == 401
    foreign = served.bitrix24.tokens.issue(served.harbour.member_id, 1, "app.other").access
    assert served.trusted(foreign).result["client_id"] == "app.other"
    assert served.call("profile", token=foreign).error == "invalid_token"


def test_a_token_of_one_portal_opens_no_other(served: Served) -> None:
    opening = served.installed("stranger")
    answer = served.call("profile", token=opening.fields["AUTH_ID"], portal="harbour")
    assert answer.status == 401


def test_every_token_dies_with_the_app(served: Served) -> None:
    opening = served.installed()
    served.harbour.uninstall()
    gone = served.call("profile", token=opening.fields["AUTH_ID"])
    assert (gone.status, gone.error) == (401, "APPLICATION_NOT_FOUND")
    assert served.trusted(opening.fields["AUTH_ID"]).error == "NOT_INSTALLED"
    assert served.oauth(grant_type="refresh_token", refresh_token=opening.fields["REFRESH_ID"]).error == "invalid_grant"
    served.switch("app_removed_error", "ERROR_OAUTH")
    assert served.call("profile", token=opening.fields["AUTH_ID"]).error == "ERROR_OAUTH"


def test_the_table_of_refusals_before_the_method(served: Served) -> None:
    opening, portal = served.installed(), served.harbour
    token = opening.fields["AUTH_ID"]
    assert served.call("profile", token="garbage").error == "NO_AUTH_FOUND"
    portal.users[1].active = False
    assert (served.call("profile", token=token).status, served.call("profile", token=token).error) == (401, "authorization_error")
    portal.users[1].active = True
    portal.users[1].may_use_app = False
    assert (served.call("profile", token=token).status, served.call("profile", token=token).error) == (403, "user_access_error")
    portal.users[1].may_use_app = True
    assert portal.installation is not None
    portal.installation.payment_expired = True
    assert served.call("profile", token=token).error == "PAYMENT_REQUIRED"
    portal.installation.payment_expired = False
    portal.troubles.add("not_commercial")
    assert (served.call("profile", token=token).status, served.call("profile", token=token).error) == (403, "ACCESS_DENIED")
    portal.troubles.clear()
    portal.installation.scopes = ("crm",)
    assert served.call("placement.get", token=token).error == "insufficient_scope"
    assert served.call("no.such.method", token=token).status == 404


def test_a_renamed_portal_answers_302_under_its_old_name(served: Served) -> None:
    opening = served.installed()
    old = served.harbour.url
    new = served.harbour.rename()
    answer = served.session.post(f"{old}/rest/profile", json={"auth": opening.fields["AUTH_ID"]}, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (302, f"{new}/rest/profile")
    assert served.call("profile", token=opening.fields["AUTH_ID"]).status == 200
    assert served.trusted(opening.fields["AUTH_ID"]).result["install"]["client_endpoint"] == f"{new}/rest/"
