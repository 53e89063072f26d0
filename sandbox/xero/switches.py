"""Every fact the reference leaves open, by name; the first position is the default (X§14 and the marks in X§1 to X§13)."""

from __future__ import annotations

from sandbox.controls import Switches

ALL: tuple[tuple[str, tuple[str, ...], str], ...] = (
    # sign-in
    ("tier", ("core", "starter", "full"), "X§3.4: the app's tier. starter: five organisations; full: no free connection at all"),
    ("tier_refusal", ("page", "access_denied"), "X§3.4 unverified: what a consent beyond the tier meets"),
    ("uncertified_apps", ("free", "two_already"), "X§1.8: the organisation is already connected to two uncertified apps"),
    ("broad_scopes", ("refused", "accepted"), "X§1.6: apps created since March 2026 hold granular scopes only"),
    ("pkce_on_web_app", ("accepted", "refused"), "X§1.1 unverified: PKCE beside the secret of a web app"),
    ("cancel", ("access_denied", "stays"), "X§1.2 unverified: what Cancel does: back with access_denied, or an end page at Xero"),
    ("bulk_connections", ("off", "on"), "X§1.2: with an Advanced tier, several organisations may be chosen in one consent"),
    ("session_state", ("sent", "absent"), "X§1.2 unverified: session_state on the callback"),
    ("organisation_id", ("equals_tenant", "differs"), "X§6.7 unverified: OrganisationID equals the tenant id"),
    # requests
    ("missing_scope", ("401", "403"), "X§1.6, X§14.17: the status of a call without the scope"),
    ("items_scope", ("invoices", "settings"), "X§1.6, X§14.4: Items writable under accounting.invoices, or only under accounting.settings"),
    ("request_keys", ("tolerant", "exact"), "X§2.2 unverified: request keys are read whatever their case"),
    ("unknown_elements", ("refused", "ignored"), "X§9.1 unverified: element names that do not exist"),
    ("bare_array", ("accepted", "refused"), "X§2.2 unverified: a body that is an array"),
    ("body_limit", ("10MB", "3.5MB"), "X§3.3 contradictory: the largest body"),
    ("url_limit", ("8000", "2000", "none"), "X§14.10: the longest address"),
    ("control_characters", ("refused", "stripped"), "X§13.3 unverified: U+0000 to U+001F in texts, new line and tab excepted"),
    ("emoji", ("accepted", "refused", "crash"), "X§13.3 unverified: characters beyond the basic plane"),
    ("null_values", ("kept", "clears"), "X§2.7, X§14.5: null for a text or a due date in an update"),
    ("empty_string", ("clears", "kept"), "X§2.7, X§14.5: the empty string for a text or a due date in an update"),
    # answers
    ("ims_empty", ("list", "304"), "X§14.12: If-Modified-Since when nothing changed"),
    ("summarize_true_saves", ("yes", "no"), "X§2.5, X§14.1: whether valid elements are stored when summarizeErrors is true or absent"),
    ("unknown_contact_in_batch", ("element", "404"), "X§5.4, X§14.8: an unknown ContactID in a batch"),
    ("response_order", ("kept", "shuffled"), "X§2.5, X§14.9: the order of elements in the answer to a batch"),
    ("wrong_verb", ("405", "404"), "X§9.1 unverified: a verb that the path does not know"),
    # limits
    ("limits", ("on", "starter", "off"), "X§3.1: on: 5,000 calls a day; starter: 1,000; off: none"),
    ("day_window", ("fixed", "rolling"), "X§3.1, X§14.13: how the day is counted"),
    ("minute_window", ("fixed", "rolling"), "X§3.1 contradictory: how the minute is counted"),
    ("refused_calls_count", ("yes", "no"), "X§3.1, X§14.13: whether 4xx and 429 answers count"),
    ("limit_headers", ("present", "absent"), "X§2.1: the remaining headers are sometimes absent"),
    ("app_minute_problem", ("appminute", "minute"), "X§3.2 unverified: X-Rate-Limit-Problem of the app's own minute"),
    ("connections_counted", ("no", "yes"), "X§3.1 unverified: /connections counts against the app's minute"),
    ("rapid_sync", ("off", "on"), "X§3.1: no minute and day limits in the first 30 minutes of a connection"),
    ("idempotency_running", ("wait", "conflict"), "X§10, X§14.14: the same key while the first call runs"),
    ("idempotency_conflict_body", ("json", "text"), "X§9.1: the body of a key used with another request"),
    # documents
    ("rounding", ("half_up", "bankers"), "X§4.9, X§14.19: the rounding mode"),
    ("post_matches_bills", ("no", "yes"), "X§4.6, X§14.2: POST finds a bill by its number"),
    ("number_of_deleted", ("free", "taken"), "X§14.16: the number of a deleted draft"),
    ("number_of_voided", ("taken", "free"), "X§4.2, X§14.16: the number of a voided invoice"),
    ("payment_bumps_updated", ("yes", "no"), "X§4.8, X§14.3: a payment moves UpdatedDateUTC and sends INVOICE UPDATE"),
    ("zero_total", ("paid", "authorised"), "X§4.5 unverified: an approved invoice of zero"),
    ("due_date_on_approval", ("terms", "required"), "X§4.2 unverified: approval without DueDate takes payment terms, or needs it in any case"),
    ("unknown_account_on_draft", ("error", "warning"), "X§4.7, X§9.3: an unknown account on a draft is refused, or dropped with a warning"),
    ("unknown_tracking", ("error", "warning"), "X§4.3, X§13.3: an unknown tracking option is refused, or dropped with a warning"),
    ("lock_date_drafts", ("refused", "allowed"), "X§6.7: drafts dated in a locked period"),
    ("void_paid_message", ("document", "status"), "X§4.5, X§9.3: the message when a paid invoice is voided"),
    ("void_in_reply", ("amounts_zero", "amounts_kept"), "X§4.8: AmountDue of a voided invoice"),
    ("line_fields_omitted", ("kept", "reset"), "X§4.6: what a line with its LineItemID loses when a field is not sent"),
    ("line_order", ("kept", "reversed"), "X§4.6 unverified: lines come back in the order they were sent"),
    ("notax_taxtype", ("ignored", "refused"), "X§6.3 unverified: a TaxType on a NoTax document"),
    ("mismatched_line_amount", ("refused", "recalculated"), "X§4.3, X§14.18: Quantity, UnitAmount and LineAmount that disagree"),
    ("negative_quantity", ("accepted", "refused"), "X§4.3 unverified: a quantity below zero"),
    ("zero_lines", ("accepted", "refused"), "X§13.3 unverified: a quantity or a price of zero"),
    ("both_discounts", ("refused", "rate"), "X§4.3: DiscountRate and DiscountAmount on one line"),
    ("discount_rate_places", ("any", "2"), "X§2.4 unverified: the decimals a DiscountRate keeps"),
    ("email_sets_sent", ("yes", "no"), "X§4.11 unverified: Email sets SentToContact"),
    ("rate_warning", ("warns", "silent"), "X§4.2: an unlikely CurrencyRate gives a warning"),
    # contacts and items
    ("archived_name_put", ("creates", "refused"), "X§5.4, X§14.6: PUT of a name that an archived contact has"),
    ("archived_name_post", ("refused", "creates"), "X§5.4: POST of a name that an archived contact has"),
    ("reactivate_archived", ("refused", "allowed"), "X§5.4, X§14.6: ContactStatus ACTIVE on an archived contact"),
    ("name_spaces", ("collapsed", "refused"), "X§5.2: extra spaces in a contact's name"),
    ("phones_update", ("merged", "replaced"), "X§5.3, X§14.7: phones and addresses merge by type, or the list replaces"),
    ("phone_slots", ("all", "sent"), "X§5.3: answers carry four phones and two addresses, or what was sent"),
    ("archive_needs_flag", ("yes", "no"), "X§5.5, X§14.20: a contact archived since shows only with includeArchived=true"),
    ("account_number_unique", ("no", "yes"), "X§5.2 unverified: AccountNumber unique through the API"),
    ("item_code_case", ("insensitive", "sensitive"), "X§6.1 unverified: comparing item codes"),
    # payments and quotes
    ("payment_currency", ("checked", "free"), "X§6.2 unverified: the payment account's currency equals the document's or the base currency"),
    ("quote_new_status", ("draft_or_sent", "draft_only"), "X§6.11 unverified: the statuses in which a quote may be created"),
    ("quote_draft_to_accepted", ("refused", "allowed"), "X§6.11, X§14.11: DRAFT to ACCEPTED"),
    ("quote_page_size", ("accepted", "ignored", "refused"), "X§2.2, X§14.11: pageSize on quotes"),
    ("quote_unit_places", ("2", "4"), "X§2.4, X§14.11: the places a quote's prices keep"),
    ("quote_tracking_by_name", ("yes", "no"), "X§6.4, X§14.11: tracking on quote lines by name, or only by option id"),
    ("quote_invoiced", ("nothing", "creates_invoice"), "X§6.11: INVOICED creates an invoice"),
    # webhooks
    ("webhooks", ("on", "held", "off"), "Deliveries: on; held: collected until released; off: none"),
    ("webhook_order", ("kept", "shuffled"), "X§8.5: events may come in any order"),
    ("webhook_copies", ("one", "two"), "X§8.5: at least once"),
    ("webhook_loss", ("none", "all"), "X§8.5: deliveries that never come; sequence numbers run on"),
    ("webhook_type_case", ("UPDATE", "Update"), "X§8.3: the case of eventType"),
    ("webhook_void_event", ("update", "none"), "X§8.4 unverified: voiding and deleting send UPDATE"),
)


def define(switches: Switches) -> None:
    """Declare them all."""
    for name, positions, note in ALL:
        switches.define(name, *positions, note=note)
