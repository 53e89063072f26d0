"""Every fact that the reference leaves open, as a switch; the first position is the default."""

from __future__ import annotations

from sandbox.controls import Switches

#: name, positions (default first), note with the place in the reference.
FACTS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("oauth_token_verb", ("both", "get_only", "post_only"), "B§15.6: whether /oauth/token/ takes GET, POST or both"),
    ("oauth_error_status", ("400", "401", "200"), "B§2.4: HTTP status of the authorisation server's errors is silent"),
    ("oauth_client_mismatch", ("invalid_client", "wrong_client_200"), "B§2.4: wrong_client comes with HTTP 200 (jssdk)"),
    ("oauth_previous_refresh", ("dies", "stays"), "B§2.4: whether the previous refresh token stays valid after rotation"),
    ("oauth_code_extras", ("absent", "present"), "B§2.2: expires and user_id are absent in the code-exchange sample"),
    ("oauth_uninstalled", ("invalid_grant", "NOT_INSTALLED", "invalid_client"), "B§2.4: what a refresh answers after uninstall"),
    ("trusted_installed_before_finish", ("true", "false"), "B§2.7: install.installed of the trusted app.info while the wizard runs"),
    ("app_removed_error", ("APPLICATION_NOT_FOUND", "ERROR_OAUTH"), "B§3.5: code of a call after uninstall"),
    ("unknown_token_error", ("NO_AUTH_FOUND", "invalid_token"), "B§3.5: code for a token that nobody knows"),
    ("error_case", ("documented", "upper"), "B§3.3: expired_token or EXPIRED_TOKEN"),
    ("insufficient_scope_status", ("403", "401"), "B§3.5: 403 in the docs, 401 in the SDK"),
    ("admin_refusal", ("ACCESS_DENIED_403", "INVALID_CREDENTIALS_403", "INVALID_CREDENTIALS_401"), "B§3.5: refusal of methods that need an administrator"),
    ("portal_deleted_status", ("500", "410"), "B§3.5: PORTAL_DELETED is 500 in the docs, 410 in the SDK"),
    ("method_confirm_status", ("401", "403"), "B§3.5: METHOD_CONFIRM_WAITING under 401 or 403"),
    ("uninstall_removes_userfields", ("no", "yes"), "B§1.3, B§15.9: custom fields are not listed among removed things"),
    ("uninstall_removes_robots", ("no", "yes"), "B§10.1, B§15.9"),
    ("placements_survive_update", ("yes", "no"), "B§15.8: the docs mention only event handlers"),
    ("update_changes_application_token", ("no", "yes"), "B§1.5: ONAPPUPDATE may carry a new application_token"),
    ("install_event_order", ("with_opening", "after_finish", "never"), "B§1.5: ONAPPINSTALL before, after or never"),
    ("event_auth_extras", ("none", "all"), "B§1.5, B§5.2: expires, user_id, client_id, refresh_token in auth of events"),
    ("event_scope_separator", ("space", "comma"), "B§1.5: scope separator in events"),
    ("event_handler_id", ("present", "absent"), "B§1.5: some deliveries also have event_handler_id"),
    ("payment_event", ("without_token_S", "with_token_P"), "B§1.5: ONAPPPAYMENT sample has no application_token and STATUS S"),
    ("event_name_case", ("upper", "camel"), "B§5.2: a few samples show camel case"),
    ("dynamic_event_names", ("listed", "base_only"), "B§15.1: whether `events` lists ..._31 and binding them works"),
    ("rows_fire_update", ("when_total_changes", "always", "twice", "never"), "B§5.7, B§15.1: product rows and the owner's update event"),
    ("event_auth_type_token", ("auth_type", "acting", "none"), "B§15.7: whose token comes with an event bound with auth_type"),
    ("requisite_fires_company", ("no", "yes"), "B§5.7: a requisite's change and the company event"),
    ("event_duplicates", ("none", "every_third"), "B§5.4: duplicates are silent"),
    ("event_order", ("kept", "shuffled"), "B§5.4: ordering is silent"),
    ("offline_event_data", ("fields", "false"), "B§5.5: EVENT_DATA"),
    ("offline_extended", ("Y", "N"), "B§5.5: plan feature rest_offline_extended"),
    ("auth_connector", ("Y", "N"), "B§5.5: plan feature rest_auth_connector"),
    ("placement_get_id", ("absent", "present"), "B§6.1: newer builds add id"),
    ("placement_options_uri", ("present", "absent"), "B§1.4: URI is absent when the browser sent no Referer"),
    ("creation_form_id", ("absent", "zero", "empty"), "B§6.3: DETAIL_TAB of an unsaved item"),
    ("open_path_quote", ("allowed", "refused"), "B§6.4, B§15.10: /crm/type/7/details/ through openPath"),
    ("open_path_invoice", ("allowed", "refused"), "B§6.4, B§15.10: /crm/type/31/details/ through openPath"),
    ("host_age", ("new", "old"), "B§7.5: older hosts refuse setTitle, setScroll, reloadWindow outside DEFAULT and resize in sliders"),
    ("date_fields_out", ("shifted", "local_midnight"), "B§8.0, B§15.15: date fields come as shifted midnights"),
    ("no_link_value", ("zero", "null"), "B§8.0: no link is 0 or null"),
    ("account_number_writable", ("yes", "no"), "B§8.2, B§15.2: accountNumber on add and update"),
    ("account_number_duplicates", ("refused", "allowed"), "B§8.2, B§15.2"),
    ("stage_semantics_progress", ("null", "P"), "B§8.5: SEMANTICS of a stage in progress"),
    ("stage_refusal_code", ("empty", "dash"), "B§8.5: code of a refused stage change"),
    ("rows_array_rights", ("first_item", "each_owner"), "B§8.6, B§15.4: rights test of productrow.list with an array of owners"),
    ("rows_set_ids", ("new", "kept"), "B§8.6: row ids after productrow.set"),
    ("zero_tax_float", ("null", "zero"), "B§8.6: a float 0.0 as taxRate"),
    ("address_anchor_in", ("works", "ignored"), "B§8.7, B§15.14: filter @ANCHOR_ID of crm.address.list"),
    ("userfield_filter_entity", ("works", "ignored", "refused"), "B§15.12: userfieldconfig.list filtered by entityId"),
    ("timeline_comment_entity", ("smart_invoice", "dynamic_31", "SI", "none"), "B§8.9, B§15.3: ENTITY_TYPE of a comment on an invoice"),
    ("comment_bumps_updated", ("no", "yes"), "B§14.17: timeline comments and updatedTime"),
    ("currency_list_right", ("read", "crm_settings"), "B§8.10: contradictory"),
    ("payment_moves_stage", ("no", "yes"), "B§8.10, B§15.13: crm.item.payment.pay and the stage"),
    ("company_list_includes_mine", ("no", "yes"), "B§8.11, B§15.16"),
    ("catalog_list_shape", ("nested", "top_level"), "B§9.4: the array under result or beside it, for section, vat, measure, priceType"),
    ("catalog_timestamp_filter", ("works", "ignored"), "B§9.5: filter >timestampX"),
    ("batch_unresolved", ("parent", "empty", "literal"), "B§4.2, B§15.5: an unresolved $result reference"),
    ("batch_over_length", ("each", "whole"), "B§4.2 and B§3.5: more than 50 commands"),
    ("list_total", ("exact", "lagging"), "B§4.3: newer builds cache the count"),
    ("honorific_entity", ("HONORIFIC", "HONOFIRIC"), "B§8.4: contradictory spelling"),
    ("old_invoices_answer", ("error", "empty"), "B§14.53: smart invoices switched off"),
    ("robot_delivery", ("once", "twice"), "B§10.2: delivery of robot calls is silent"),
    ("limits", ("on", "off"), "lever: leaky bucket, operating time and the 60 s ceiling (B§4.1)"),
)


def define_all(switches: Switches) -> None:
    """Declare them once."""
    for name, positions, note in FACTS:
        switches.define(name, *positions, note=note)
