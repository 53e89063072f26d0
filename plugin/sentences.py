"""Codes and parameters become sentences here, in the reader's language, when they are read.

Every sentence says what happened and, where somebody can do something, the one thing to do. A code without a sentence is
shown in full: nothing is swallowed. English is the source; `translations/` holds the others.
"""

from __future__ import annotations

import gettext
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time, format_timedelta
from babel.numbers import format_decimal
from babel.support import NullTranslations, Translations
from flask_babel import get_locale, get_timezone

TRANSLATIONS = Path(__file__).parents[1] / "translations"

#: Bitrix24's language codes where they differ from everybody else's (B§12.6).
LOCALES = {"la": "es", "br": "pt_BR", "ua": "uk", "kz": "kk", "in": "hi", "vn": "vi", "sc": "zh_Hans_CN", "tc": "zh_Hant_TW"}


def _(text: str) -> str:
    """Mark a text for translation; it is translated when it is read."""
    return text


class Counted(tuple[str, str]):
    """One sentence for one, another for many; `count` decides."""


def _n(one: str, many: str) -> Counted:
    return Counted((one, many))


SENTENCES: dict[str, str | Counted] = {
    # What happened
    "activity.batch_cancelled": _n("A batch was cancelled; %(count)s invoice was not sent.", "A batch was cancelled; %(count)s invoices were not sent."),
    "activity.batch_fetched": _n("The status of %(count)s invoice was asked from Xero.", "The statuses of %(count)s invoices were asked from Xero."),
    "activity.batch_sent": _n("%(count)s invoice was ordered to be sent to Xero.", "%(count)s invoices were ordered to be sent to Xero."),
    "activity.connected": _("Connected to %(organisation)s in Xero."),
    "activity.connected_as_other": _("Connected to %(organisation)s in Xero as %(xero_user)s, before as %(before)s."),
    "activity.contact_created": _("Customer %(customer)s was created in Xero."),
    "activity.contact_brought": _("%(name)s was made in Xero and is in Bitrix24 now."),
    "activity.contact_merged": _("The contact %(before)s was merged in Xero; the customer belongs to %(contact)s now."),
    "activity.contact_linked": _("Customer %(customer)s was linked to the contact %(contact)s in Xero."),
    "activity.contact_updated": _("Customer %(customer)s changed in Bitrix24 and was updated in Xero."),
    "activity.created": _("Invoice %(number)s was created in Xero, total %(total)s %(currency)s."),
    "activity.deleted_in_crm": _("%(number)s was deleted in Bitrix24. Decide what becomes of it in Xero."),
    "activity.disconnected": _("Xero was disconnected. Nothing was deleted."),
    "activity.first_sync": _("The first synchronisation is done: %(contacts)s customers, %(items)s items and %(documents)s invoices are linked."),
    "activity.handlers_repaired": _n(
        "%(count)s connection to Bitrix24's events had vanished and was made again.",
        "%(count)s connections to Bitrix24's events had vanished and were made again.",
    ),
    "activity.installed": _("Tallybridge was installed."),
    "activity.brought": _("%(number)s was made in Xero and is in Bitrix24 now, total %(total)s %(currency)s."),
    "activity.not_brought": _("%(number)s was made in Xero and is not in Bitrix24. %(problem)s"),
    "activity.linked": _("Linked to the document %(number)s that exists in Xero."),
    "activity.not_sent": _("Not sent. %(problem)s"),
    "activity.removed_in_xero": _("%(number)s is gone in Xero as well, as it was deleted in Bitrix24."),
    "activity.kept_in_xero": _("%(number)s stays in Xero although it was deleted in Bitrix24."),
    "activity.service_taken": _("Another administrator does the background work from now on."),
    "activity.set_up": _("The set-up was confirmed."),
    "activity.settings_changed": _("The settings were changed."),
    "activity.status_changed": _("%(number)s is now “%(after)s” in Xero; before: “%(before)s”. Amount due: %(due)s."),
    "activity.updated": _("Tallybridge was updated to version %(version)s."),
    "activity.updated_in_xero": _("Invoice %(number)s was updated in Xero, total %(total)s %(currency)s."),
    "log.title": _("Xero"),
    "bring.customer": _("Its customer could not be made in Bitrix24. %(problem)s"),
    "bring.doubtful": _("Bitrix24 has another invoice with the number %(number)s. Compare both, and link them in the settings under “First synchronisation”."),
    "bring.several": _("Several customers are called %(name)s. Link one of them to the contact in Xero, then save “Brought from Xero” again."),
    "bring.no_place": _("The smart process for bills does not exist in Bitrix24 any more. Choose another one in the settings under “Brought from Xero”."),
    "bills.title": _("Supplier bills"),
    "bills.no_process": _("Choose where bills are kept in Bitrix24."),
    "bills.place_unknown": _("This smart process does not exist, or lacks what a bill needs. Choose another one."),
    "bring.in_flight": _("Bitrix24 did not say whether it made what is new in Xero; it is looked for in a moment."),
    "bring.under_way": _("This invoice is just being brought from Xero. It is looked at again when that is done."),
    "bring.unsettled": _("A call to Xero is still open; what is new there is told apart when it is settled."),
    "online.allowance": _("Today's share of Xero calls for links is used up. Try again tomorrow, or open the invoice in Xero."),
    "online.not_approved": _("Xero has an online invoice only once it is approved."),
    "online.not_sent": _("The invoice is not in Xero yet. Send it first."),
    "trouble.bitrix24": _("Tallybridge can do no background work in this portal. %(cause)s Nothing is lost: it goes on by itself when this is mended."),
    "trouble.xero": _("Tallybridge has lost its access to Xero. %(cause)s Nothing is lost: it goes on by itself when this is mended."),
    "robot.in_xero": _("In Xero as %(number)s: %(status)s."),
    "robot.scope_missing": _("To use Tallybridge in automation rules, allow it “bizproc” in Bitrix24. Everything else works without it."),
    "robot.wrong_document": _("This rule works for invoices and quotes only. Remove it here."),
    "notify.exported": _("%(succeeded)s of %(total)s invoices exported"),
    "notify.exported:failed": _("%(succeeded)s of %(total)s invoices exported. The others need a look: open batch %(number)s in Tallybridge."),
    "notify.fetched": _("%(succeeded)s of %(total)s invoices updated from Xero"),
    "notify.fetched:failed": _("%(succeeded)s of %(total)s invoices updated from Xero. The others need a look: open batch %(number)s in Tallybridge."),
    # The self-test
    "selftest.failed": _n("The nightly self-test found %(count)s fault.", "The nightly self-test found %(count)s faults."),
    "selftest.handlers": _("These messages of Bitrix24 do not come to us any more: %(events)s. Open the app again as an administrator, which repairs it."),
    "selftest.no_admin": _("The person who does the background work is no administrator any more. Another administrator must take over."),
    "selftest.no_event": _("A test message from Bitrix24 did not arrive within %(seconds)s. Changes are found by the sweep until messages arrive again."),
    "selftest.not_connected": _("Xero is not connected. Connect it first."),
    "selftest.scopes": _("The app lacks these permissions in Bitrix24: %(scopes)s. An administrator must update it in the Market."),
    "selftest.webhooks": _n(
        "Xero did not announce %(count)s change that the sweep found. News from Xero come slower until it does.",
        "Xero did not announce %(count)s changes that the sweep found. News from Xero come slower until it does.",
    ),
    # What comes next
    "next.bitrix24_asked": _("Bitrix24 is asked what changed there without a message."),
    "next.checked": _("Handlers, deletions and requisites are checked."),
    "next.xero_asked": _("Xero is asked what changed there without a message."),
    "next.due": _n("%(count)s piece of work is taken next.", "%(count)s pieces of work are taken next."),
    "next.pause_ends": _("The pause of Xero ends. %(problem)s"),
    "next.try_again": _n("%(count)s piece of work is tried again. %(problem)s", "%(count)s pieces of work are tried again. %(problem)s"),
    # Before something is sent
    "batch.nothing_chosen": _("No invoice was chosen. Tick some, or choose “For all”."),
    "note.contact_linked": _("Linked to the existing contact %(contact)s."),
    "note.contact_new": _("New contact in Xero: %(contact)s."),
    "note.document_linked": _("Linked to the existing document %(number)s."),
    "note.expiry_stays": _("Xero keeps the expiry date %(day)s: it cannot be taken away from outside. Remove it in Xero."),
    "note.items_left_out": _("These items do not exist in Xero and are left out of the lines: %(items)s."),
    "note.made_in_xero": _("It was made in Xero and is changed there. Nothing was sent."),
    "note.products_unread": _("Some products could not be read; their lines carry no item code."),
    "note.total_differs": _("Total in Bitrix24 %(crm)s, in Xero %(xero)s."),
    "note.xero_warning": _("Xero remarks: %(text)s"),
    "deleted.decided": _("%(number)s was decided already. Load the page again."),
    "follow.doubtful": _("It looks like a document that Xero has already. Decide under Settings, “Doubtful pairs”, whether it is the same."),
    "follow.first_run": _("Waits until the first synchronisation is done."),
    "follow.no_customer": _("Waits for a customer."),
    "follow.no_rows": _("Waits for products."),
    "remove.back_again": _("The invoice is in Bitrix24 again, so nothing was deleted in Xero."),
    "remove.status": _("Xero does not let %(number)s be deleted or voided in its status. Remove its payments in Xero first, or keep it."),
    "send.account_archived": _("Account %(account)s is archived in Xero, but line “%(row)s” needs it. Choose another ledger account."),
    "send.account_missing": _("No ledger account is chosen for line “%(row)s”. Choose the default income account."),
    "send.account_missing:account": _("Xero has no account %(account)s, which line “%(row)s” needs. Choose another ledger account."),
    "send.account_not_allowed": _("Account %(account)s is a system or bank account and cannot take line “%(row)s”. Choose another ledger account."),
    "send.before_start": _("Dated %(date)s, before the start date %(start)s. Change the start date if it should go."),
    "send.contact_archived": _("The contact %(contact)s is archived in Xero. Restore it there, then send again."),
    "send.contact_missing": _("Xero has no contact for %(customer)s, and creating customers is switched off. Create it in Xero or allow it in the settings."),
    "send.contact_several": _("Several contacts in Xero could be %(customer)s: %(contacts)s. Archive or rename all but one in Xero, then send again."),
    "send.contact_tax_differs": _("The contact %(contact)s in Xero has another tax number than %(customer)s. Correct the one that is wrong, then send again."),
    "send.currency_missing": _("Your Xero organisation does not use %(currency)s. Add the currency in Xero, then send again."),
    "send.customer_gone": _("The customer of this invoice does not exist any more. Choose another one in the invoice."),
    "send.deleted": _("The invoice was deleted in Bitrix24."),
    "send.locked": _("Dated %(date)s, but Xero is locked up to %(lock)s. Change the date, or ask your bookkeeper to move the lock date."),
    "send.manual_total": _("The total %(crm)s was typed by hand; the products add up to %(rows)s. Let Bitrix24 calculate the total."),
    "send.may_not_edit": _("You may see this invoice but not edit it, so you may not send it. Ask its owner or an administrator."),
    "send.may_not_see": _("You may not see this invoice, or it does not exist."),
    "send.negative_total": _("The total is negative (%(total)s %(currency)s). Xero takes that only as a credit note."),
    "send.customer_unnamed": _("The customer has no name in Bitrix24, and Xero takes none without. Enter the name there, then send again."),
    "send.no_customer": _("The invoice has neither a company nor a contact. Choose the customer in the invoice."),
    "send.no_rows": _("The invoice has no products. Add at least one."),
    "send.number_taken": _("Xero already has another document with this number. Change the number, or set a prefix in the settings."),
    "send.other_seller": _("The invoice belongs to another company of yours than this Xero organisation. Tick that company in the settings if it should go."),
    "send.rows_do_not_add_up": _("The products add up to %(rows)s but the invoice says %(crm)s. Open the invoice and save its products again."),
    "send.stage_not_sent": _("Its stage is set to “Do not send”. Move the invoice, or change the stages in the settings."),
    "send.tax_missing": _("The tax rate %(tax)s chosen for line “%(row)s” does not exist in Xero any more. Choose another one."),
    "send.tax_not_for_account": _("The tax rate %(tax)s cannot be used with account %(account)s (line “%(row)s”). Choose another tax rate or account."),
    "send.tax_rate_differs": _("Line “%(row)s” has %(rate)s tax, but %(tax)s in Xero is %(tax_rate)s %%. Choose the tax rate again."),
    "send.tax_unmapped": _("No Xero tax rate is chosen for %(rate)s (line “%(row)s”). Choose one."),
    "edit.conflict": _("Changed here and in Xero since the last transfer: %(differences)s. Overwrite Xero, or keep what it has."),
    "edit.conflict:made_there": _(
        "It was made in Xero, so what Xero says counts. This differs in Bitrix24: %(differences)s. Change it in Xero, overwrite Xero, or keep what it has."
    ),
    "edit.conflict:first": _("It was in Xero before, and this differs there: %(differences)s. Overwrite Xero, or keep what it has."),
    "edit.gone": _("The document was voided or deleted in Xero, so it cannot be updated. Send it as new to give it a number of its own."),
    "edit.locked": _("The document is dated in a locked period (%(date)s, locked up to %(lock)s). Ask your bookkeeper to move the lock date."),
    "edit.quote_closed": _(
        "In Xero this quote is already: %(status)s. So this cannot change there: %(fields)s. Overwrite Xero to open it again and send the change."
    ),
    "quote.invoiced": _("This quote is invoiced in Xero and cannot become %(after)s. Open it in Xero to undo that."),
    "quote.move_refused": _("Xero does not let a quote go from %(before)s to %(after)s. Move it to another stage, or open it in Xero."),
    "activity.quote_invoiced": _("Quote %(number)s is invoiced in Xero, because an invoice was made from it."),
    "activity.quote_stays_accepted": _("Quote %(number)s stays as it is in Xero: there, an invoiced quote would make a second invoice."),
    "activity.quote_made_invoice": _(
        "Xero made invoice %(invoice)s of its own when quote %(number)s was marked as invoiced. As a draft it was deleted again. Please look at it in Xero."
    ),
    "edit.paid": _("It is paid or credited in Xero, so this cannot change any more: %(fields)s. Remove the payment in Xero first."),
    "link.taken": _("This invoice or its Xero document is already linked to another one."),
    "pull.not_linked": _("This invoice is not in Xero yet. Send it first."),
    # Set-up
    "effect.already_sent": _n(
        "%(count)s invoice that was sent before keeps what it has until it is sent again.",
        "%(count)s invoices that were sent before keep what they have until they are sent again.",
    ),
    "effect.create_contacts": _("Whether missing customers are created in Xero changes."),
    "effect.create_items": _("Whether missing items are created in Xero changes."),
    "effect.expense_account": _("The expense account changes from %(before)s to %(after)s."),
    "effect.income_account": _("The income account changes from %(before)s to %(after)s."),
    "effect.item_code_source": _("Item codes are taken from another field."),
    "effect.number_policy": _("New invoices are numbered in another way."),
    "effect.number_prefix": _("The prefix of new numbers changes from “%(before)s” to “%(after)s”."),
    "effect.sellers": _n("%(count)s of your companies is added or removed.", "%(count)s of your companies are added or removed."),
    "effect.stage_to_status": _n("%(count)s stage orders another status in Xero.", "%(count)s stages order another status in Xero."),
    "effect.start_date": _("The start date changes from %(before)s to %(after)s."),
    "effect.quote_stage_to_status": _n("%(count)s stage of quotes orders another status in Xero.", "%(count)s stages of quotes order another status in Xero."),
    "effect.quote_status_to_stage": _n("%(count)s status of quotes leads to another stage.", "%(count)s statuses of quotes lead to another stage."),
    "effect.status_to_stage": _n("%(count)s status of Xero leads to another stage.", "%(count)s statuses of Xero lead to another stage."),
    "effect.taxes": _n("%(count)s tax becomes another tax rate in Xero.", "%(count)s taxes become another tax rate in Xero."),
    "reason.currency": _("Same currency"),
    "reason.customer": _("Same customer"),
    "reason.date": _("Same date"),
    "reason.email": _("Same e-mail address"),
    "reason.name": _("Same name"),
    "reason.number": _("Same number"),
    "reason.reference": _("Same reference"),
    "reason.similar_name": _("Similar name"),
    "reason.tax": _("Same tax number"),
    "reason.tax_differs": _("Different tax numbers"),
    "reason.total": _("Same total"),
    "reason.url": _("The document in Xero points to this invoice"),
    "setup.account_invalid": _("Account %(account)s is not active or not of the right type. Choose another one from the list."),
    "setup.account_missing": _("Choose an account from the list."),
    "setup.accounts_same": _("Income and expense must go to different accounts."),
    "setup.date_invalid": _("This is not a date."),
    "setup.date_missing": _("Choose a start date."),
    "setup.nothing_would_go": _("Every stage is set to “Do not send”. Choose a status for at least one."),
    "setup.prefix_invalid": _("A prefix has at most %(most)s plain letters, digits and signs."),
    "setup.prefix_required": _("Another Bitrix24 sends to this organisation, so a prefix is needed."),
    "setup.seller_missing": _("Tick at least one of your companies."),
    "automatic.stage_missing": _("Choose the stage that sends an invoice to Xero."),
    "automatic.stage_not_sent": _("That stage is set to “Do not send” or “Void”. Choose another one, or change the stages."),
    "setup.stage_unknown": _("The stage %(stage)s is not there any more. Open this step again."),
    "setup.status_unknown": _("%(stage)s is no stage of your invoices any more. Choose another one."),
    "setup.tax_missing": _("Choose a tax rate for %(rate)s."),
    "setup.tax_not_for_sales": _("%(tax)s cannot be used for sales. Choose another tax rate."),
    "setup.tax_rate_differs": _("%(rate)s in Bitrix24 but %(tax_rate)s %% in Xero (%(tax)s): totals would differ. Choose a rate of the same percent."),
    # Connecting
    "connect.no_answer": _("Xero did not answer. Try again in a minute."),
    "connect.no_code": _("Xero sent no permission back. Try again."),
    "connect.no_organisation": _("You allowed no organisation. Try again and choose one at Xero."),
    "connect.other_browser": _("This answer from Xero was not asked for in this browser. Open Xero again from Bitrix24."),
    "connect.refused_because": _("Nothing was connected. Xero says: “%(text)s”"),
    "connect.refused": _("You did not allow access, so nothing was connected. Try again when you are ready."),
    "connect.role_refused": _(
        "Your role in this Xero organisation does not permit it. Ask for the role Standard or Adviser, or let somebody who has it connect."
    ),
    "connect.state_unknown": _("This answer from Xero does not belong to a connection that was begun here. Open Xero again from Bitrix24."),
    "connect.ticket_used": _("This window was opened before or too long ago. Open Xero again from Bitrix24."),
    "connect.code_expired": _("The permission from Xero had run out before it reached us. Try again."),
    "connect.too_late": _("It took too long at Xero. Try again."),
    "connect.used_already": _("This answer from Xero was used already. If you are not connected, try again."),
    "connect.xero_error": _("Xero reported an error: %(error)s. Try again."),
    "login.busy": _("The access is being renewed. Try again in a few seconds."),
    "login.gone": _("The stored access is gone. An administrator must open the app and connect again."),
    "login.no_answer": _("The access could not be renewed for lack of an answer. It is tried again."),
    "login.no_token": _("The stored access has ended. An administrator must open the app and connect again."),
    "login.other_portal": _("The stored access belongs to another Bitrix24. An administrator must open the app."),
    "organisation.paused": _("Xero pauses this organisation until %(until)s. Everything waits and goes on by itself."),
    "portal.disconnected": _("Xero was disconnected before this was done. Connect again and send it once more."),
    "portal.no_service_admin": _("No administrator does the background work. Open the app as an administrator."),
    "portal.not_connected": _("Xero is not connected. Connect it first."),
    "portal.not_set_up": _("The set-up is not finished. Finish it first."),
    "portal.person_unknown": _("The person who ordered this does not use the app any more."),
    "portal.service_gone": _("The administrator who does the background work cannot do it any more. Another administrator must take over."),
    "portal.uninstalled": _("The app was uninstalled before this was done."),
    # Opening the app
    "launch.address_refused": _("This installation of Tallybridge does not work with %(host)s."),
    "launch.domain_malformed": _("The address of the portal is not valid: %(domain)s."),
    "launch.incomplete": _("Bitrix24 did not say enough to open the app. Reload the page of your portal."),
    "launch.no_answer": _("Bitrix24 did not answer. Reload the page in a minute."),
    "launch.wrong_app": _("This access belongs to another app. Reload the page of your portal."),
    "launch.wrong_domain": _("The portal's address does not match the one that Bitrix24 confirms (%(expected)s). Open the app there."),
    "launch.wrong_portal": _("This access belongs to another portal. Reload the page of your portal."),
    "launch.wrong_user": _("This access belongs to another person. Reload the page of your portal."),
    # Our own side
    "internal.error": _("Something went wrong on our side (%(cause)s). It is tried again."),
    "limits.no_redis": _("Sending is paused for a moment. Everything is kept and goes on by itself."),
    "wire.address_refused": _("The address %(host)s is not allowed for this installation."),
    "worker.stopping": _("The work was interrupted and goes on in a moment."),
    # Bitrix24
    "bitrix24.access_denied": _("Bitrix24 does not permit this with your rights. Ask an administrator."),
    "bitrix24.app_not_shared": _("An administrator has not opened this app for you. Ask one of them."),
    "bitrix24.argument_invalid": _("Bitrix24 did not accept a value: %(text)s."),
    "bitrix24.batch_too_long": _("Bitrix24 refused a request as too long. It is reported to us."),
    "bitrix24.blocked": _("Bitrix24 has blocked this app for your portal. Ask the support of Bitrix24."),
    "bitrix24.busy": _("Bitrix24 is busy. It goes on in a few seconds."),
    "bitrix24.client_refused": _("Bitrix24 does not accept this app's credentials. Install the app again."),
    "bitrix24.command_skipped": _("Bitrix24 left a part of the request unanswered. It is tried again."),
    "bitrix24.confirm_denied": _("An administrator refused this in Bitrix24."),
    "bitrix24.confirm_waiting": _("An administrator must confirm this in Bitrix24 first."),
    "bitrix24.event_malformed": _("A message from Bitrix24 was incomplete."),
    "bitrix24.extranet_user": _("Extranet users cannot do this."),
    "bitrix24.field_invalid": _("Bitrix24 did not accept a field: %(text)s."),
    "bitrix24.field_missing": _("The field %(field)s is missing in Bitrix24. Open the app as an administrator, which creates it again."),
    "bitrix24.field_required": _("A field must be filled in Bitrix24 first: %(text)s."),
    "bitrix24.grant_invalid": _("Bitrix24 has ended the app's access. An administrator must open the app once."),
    "bitrix24.method_not_found": _("Your Bitrix24 does not know this function: %(method)s. Update it."),
    "bitrix24.moved": _("Your Bitrix24 has a new address. Open the app there once."),
    "bitrix24.needs_application": _("Bitrix24 permits this only inside the app. Open the app again."),
    "bitrix24.no_answer": _("Bitrix24 did not answer. Try again in a minute."),
    "bitrix24.no_smart_invoices": _("Smart invoices are switched off in this Bitrix24. Switch them on in the CRM settings."),
    "bitrix24.not_found": _("Bitrix24 does not find this any more."),
    "bitrix24.not_in_batch": _("Bitrix24 refused a part of the request. It is reported to us."),
    "bitrix24.not_installed": _("The app is not installed in this Bitrix24 any more. Install it again."),
    "bitrix24.not_json": _("Bitrix24 answered with a page instead of data. It is tried again."),
    "bitrix24.operating_limit": _("Bitrix24 limits this function for some minutes. It goes on by itself."),
    "bitrix24.payment_required": _("The subscription of this Bitrix24 app has ended. Renew it in the Market."),
    "bitrix24.plan": _("The plan of this Bitrix24 does not include apps. Change the plan."),
    "bitrix24.plan_restricts": _("The plan of this Bitrix24 does not permit this. Change the plan."),
    "bitrix24.portal_deleted": _("This Bitrix24 was deleted or is closed."),
    "bitrix24.portal_fault": _("Bitrix24 reported an error of its own. Try again in a minute."),
    "bitrix24.request_invalid": _("Bitrix24 did not understand a request: %(text)s."),
    "bitrix24.scope_missing": _("The app lacks a permission in Bitrix24. An administrator must update it."),
    "bitrix24.stage_refused": _("Bitrix24 did not let the invoice change to the stage: %(text)s. Everything else was written."),
    "bitrix24.token_expired": _("The access to Bitrix24 has ended. Open the app again."),
    "bitrix24.token_invalid": _("Bitrix24 does not accept the access any more. Open the app again."),
    "bitrix24.token_missing": _("There is no access to Bitrix24. Open the app again."),
    "bitrix24.type_not_supported": _("Bitrix24 does not support this kind of record."),
    "bitrix24.unknown": _("Bitrix24 answered: %(error)s %(text)s."),
    "bitrix24.unreadable": _("Bitrix24 sent a value that cannot be read: %(value)s."),
    "bitrix24.user_gone": _("The person whose access was used has left this Bitrix24. An administrator must open the app."),
    # Statuses of Xero
    "status.draft": _("Draft"),
    "status.submitted": _("Awaiting approval"),
    "status.authorised": _("Awaiting payment"),
    "status.sent": _("Sent to customer"),
    "status.overdue": _("Overdue"),
    "status.part_paid": _("Part paid"),
    "status.paid": _("Paid"),
    "status.voided": _("Voided"),
    "status.accepted": _("Accepted"),
    "status.declined": _("Declined"),
    "status.invoiced": _("Invoiced"),
    "status.deleted": _("Deleted"),
    # Xero
    "xero.account_archived": _("The account %(account)s is archived in Xero. Choose another ledger account."),
    "xero.account_invalid": _("Xero does not accept the account %(account)s here. Choose another ledger account."),
    "xero.account_missing": _("A line has no account. Choose the default accounts."),
    "xero.approval_limit": _("The Xero plan permits no more approved invoices this month. Send as draft, or change the plan in Xero."),
    "xero.blocked": _("Xero's firewall refused the request. It is reported to us."),
    "xero.body_refused": _("Xero did not understand a request: %(detail)s."),
    "xero.client_invalid": _("Xero does not accept this app's credentials. It is reported to us; your connection stays."),
    "xero.client_refused": _("Xero does not permit this to the app: %(detail)s."),
    "xero.conflict": _("Something changed in Xero at the same moment. It is tried again."),
    "xero.contact_archived": _("The contact is archived in Xero. Restore it there, then send again."),
    "xero.contact_missing": _("Xero misses the customer. Choose the customer in the invoice."),
    "xero.contact_name_taken": _("Xero has another contact named %(name)s. Link the customer to it, or rename one of them."),
    "xero.contact_number_taken": _("Another contact in Xero has this customer's number. Correct the account number in Xero."),
    "xero.currency_missing": _("Your Xero organisation does not use %(currency)s. Add the currency in Xero, then send again."),
    "xero.disconnected": _("The organisation was disconnected in Xero. Connect it again."),
    "xero.email_invalid": _("Xero refused the customer's e-mail address. Correct it in Bitrix24."),
    "xero.forbidden": _("Xero does not permit this: %(detail)s. The role of the connected person or the plan may be the reason."),
    "xero.gone": _("Xero does not have the document %(number)s any more."),
    "xero.grant_invalid": _("Xero's permission has ended. Connect again."),
    "xero.invoice_paid": _("The invoice is paid in Xero, so it cannot change any more."),
    "xero.item_exists": _("Xero already has an item with the code %(item)s."),
    "xero.item_invalid": _("Xero has no item %(item)s. Allow creating items in the settings, or create it in Xero."),
    "xero.key_reused": _("Xero took the request for an earlier one. It is tried again."),
    "xero.limit_app": _("Xero limits this app for a moment. It goes on by itself."),
    "xero.limit_concurrent": _("Xero limits this organisation for a moment. It goes on by itself."),
    "xero.limit_day": _("The day's allowance of Xero calls for this organisation is used up. It goes on tomorrow by itself."),
    "xero.limit_minute": _("Xero limits this organisation for a minute. It goes on by itself."),
    "xero.limit_wait": _("Waiting for Xero's allowance. It goes on by itself."),
    "xero.lines_missing": _("Xero wants at least one line. Add products to the invoice."),
    "xero.locked_period": _("Xero is locked for this date (%(date)s). Change the date, or ask your bookkeeper to move the lock date."),
    "xero.locked_year": _("The financial year of this date is closed in Xero (%(date)s). Change the date of the invoice."),
    "xero.login_unavailable": _("Xero's login is not available. It is tried again."),
    "xero.name_taken": _("This name is already used in Xero. Choose another one."),
    "xero.no_answer": _("Xero did not answer. What became of it is looked up before anything is repeated."),
    "xero.not_found": _("Xero does not find this any more."),
    "xero.number_taken": _("Xero already has a document with this number. Change the number, or set a prefix in the settings."),
    "xero.organisation_offline": _("This organisation is not available in Xero at the moment. It goes on by itself."),
    "xero.paid_or_credited": _("A payment or credit note is allocated in Xero, so amounts cannot change. Remove it in Xero first."),
    "xero.payment_account_archived": _("The bank account is archived in Xero. Choose another one."),
    "xero.payment_too_large": _("The payment is larger than what is due in Xero."),
    "xero.query_refused": _("Xero did not understand a question: %(detail)s."),
    "xero.query_too_broad": _("Xero refused a question as too broad. It is reported to us."),
    "xero.refused": _("Xero refused this: %(messages)s"),
    "xero.scope_invalid": _("Xero does not know a permission that was asked for. It is reported to us."),
    "xero.scope_missing": _("A permission is missing. Connect to Xero again and allow it."),
    "xero.server_error": _("Xero reported an error of its own. What became of it is looked up before anything is repeated."),
    "xero.stock_missing": _("Xero has not enough stock of a tracked item. Correct the stock in Xero."),
    "xero.tax_account_mismatch": _("The tax rate %(tax_type)s cannot be used with account %(account)s. Choose another tax rate or account."),
    "xero.tax_invalid": _("Xero does not accept the tax rate %(tax_type)s. Choose another one."),
    "xero.tax_missing": _("A line has no tax rate. Choose tax rates."),
    "xero.token_expired": _("The access to Xero is being renewed. It is tried again."),
    "xero.token_foreign": _("The access to Xero was made for another app. Connect again."),
    "xero.token_invalid": _("Xero does not accept the access any more. Connect again."),
    "xero.too_large": _("Xero refused a request as too large. It is divided and tried again."),
    "xero.unanswered": _("Xero's answer does not mention this invoice. It is looked up before anything is repeated."),
    "xero.unavailable": _("Xero is not available at the moment. It goes on by itself."),
    "xero.other_organisation": _("Xero answered for another organisation (%(name)s). Nothing was changed; it is tried again."),
    "xero.unknown": _("Xero answered something unexpected (%(status)s): %(text)s."),
    "xero.url_invalid": _("Xero refused the link back to Bitrix24."),
    "xero.wrong_status": _("The status in Xero does not permit this. Open the document in Xero."),
}

#: How the sentences above speak of a quote, where they name the document (its parameter `document`).
SENTENCES |= {
    "activity.batch_cancelled:quote": _n("A batch was cancelled; %(count)s quote was not sent.", "A batch was cancelled; %(count)s quotes were not sent."),
    "activity.batch_fetched:quote": _n("The status of %(count)s quote was asked from Xero.", "The statuses of %(count)s quotes were asked from Xero."),
    "activity.batch_sent:quote": _n("%(count)s quote was ordered to be sent to Xero.", "%(count)s quotes were ordered to be sent to Xero."),
    "activity.created:quote": _("Quote %(number)s was created in Xero, total %(total)s %(currency)s."),
    "activity.updated_in_xero:quote": _("Quote %(number)s was updated in Xero, total %(total)s %(currency)s."),
    "notify.exported:quote": _("%(succeeded)s of %(total)s quotes exported"),
    "notify.exported:failed:quote": _("%(succeeded)s of %(total)s quotes exported. The others need a look: open batch %(number)s in Tallybridge."),
    "notify.fetched:quote": _("%(succeeded)s of %(total)s quotes updated from Xero"),
    "notify.fetched:failed:quote": _("%(succeeded)s of %(total)s quotes updated from Xero. The others need a look: open batch %(number)s in Tallybridge."),
    "send.customer_gone:quote": _("The customer of this quote does not exist any more. Choose another one in the quote."),
    "send.deleted:quote": _("The quote was deleted in Bitrix24."),
    "remove.back_again:quote": _("The quote is in Bitrix24 again, so nothing was deleted in Xero."),
    "send.may_not_edit:quote": _("You may see this quote but not edit it, so you may not send it. Ask its owner or an administrator."),
    "send.may_not_see:quote": _("You may not see this quote, or it does not exist."),
    "send.no_customer:quote": _("The quote has neither a company nor a contact. Choose the customer in the quote."),
    "send.no_rows:quote": _("The quote has no products. Add at least one."),
    "send.other_seller:quote": _(
        "The quote belongs to another company of yours than this Xero organisation. Tick that company in the settings if it should go."
    ),
    "send.rows_do_not_add_up:quote": _("The products add up to %(rows)s but the quote says %(crm)s. Open the quote and save its products again."),
    "send.stage_not_sent:quote": _("Its stage is set to “Do not send”. Move the quote, or change the stages in the settings."),
    "edit.gone:quote": _("The quote was deleted in Xero, so it cannot be updated. Send it as new to give it a number of its own."),
    "link.taken:quote": _("This quote or its Xero document is already linked to another one."),
    "pull.not_linked:quote": _("This quote is not in Xero yet. Send it first."),
    "xero.lines_missing:quote": _("Xero wants at least one line. Add products to the quote."),
    "xero.unanswered:quote": _("Xero's answer does not mention this quote. It is looked up before anything is repeated."),
    "bitrix24.stage_refused:quote": _("Bitrix24 did not let the quote change to the stage: %(text)s. Everything else was written."),
}

#: The parameters of which the first that is not empty chooses the other sentence "code:parameter".
VARIANTS = {"edit.conflict": ("made_there", "first"), "notify.exported": ("failed",), "notify.fetched": ("failed",), "send.account_missing": ("account",)}

#: The ways out that a button can offer: label, and the page it leads to (`plugin.web.render.WAYS_OUT`).
_CONNECT = (_("Connect to Xero"), "connect")
_ALLOW = (_("Allow in Xero"), "connect")
_ORGANISATION = (_("Open the settings"), "organisation")
_LEDGERS = (_("Choose ledgers"), "ledgers")
_STAGES = (_("Change the stages"), "stages")
_TAXES = (_("Choose tax rates"), "taxes")
_SETUP = (_("Finish the set-up"), "setup")
_TAKE_OVER = (_("Take over"), "takeover")

REPAIRS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("send.account_missing", "send.account_archived", "send.account_not_allowed", "xero.account_archived", "xero.account_invalid"), _LEDGERS),
    **dict.fromkeys(("xero.account_missing", "send.contact_missing", "xero.item_invalid"), _LEDGERS),
    **dict.fromkeys(("send.tax_unmapped", "send.tax_missing", "send.tax_rate_differs", "send.tax_not_for_account"), _TAXES),
    **dict.fromkeys(("xero.tax_invalid", "xero.tax_missing", "xero.tax_account_mismatch"), _TAXES),
    **dict.fromkeys(("send.before_start", "send.other_seller", "send.number_taken", "xero.number_taken"), _ORGANISATION),
    **dict.fromkeys(("xero.disconnected", "xero.grant_invalid", "xero.token_invalid", "xero.token_foreign"), _CONNECT),
    "xero.scope_missing": _ALLOW,
    **dict.fromkeys(("portal.not_connected", "portal.disconnected", "selftest.not_connected"), _CONNECT),
    **dict.fromkeys(("portal.service_gone", "portal.no_service_admin", "selftest.no_admin"), _TAKE_OVER),
    "portal.not_set_up": _SETUP,
    "send.stage_not_sent": _STAGES,
    "setup.nothing_would_go": _STAGES,
}

_LINE = _("line")
FIELD_WORDS = {
    "contact_id": _("customer"),
    "currency": _("currency"),
    "date": _("date"),
    "due_date": _("due date"),
    "line_amount_types": _("kind of prices"),
    "lines": _("lines"),
    "number": _("number"),
    "reference": _("reference"),
    "status": _("status"),
    "summary": _("summary"),
    "terms": _("terms"),
    "title": _("title"),
    "url": _("link"),
    "account": _("account"),
    "account_code": _("account"),
    "description": _("description"),
    "discount": _("discount"),
    "discount_rate": _("discount"),
    "item_code": _("item"),
    "quantity": _("quantity"),
    "tax_type": _("tax rate"),
    "unit_amount": _("price"),
    "added": _("line added in Xero"),
    "amount_due": _("amount due"),
    "amount_paid": _("amount paid"),
    "discount_amount": _("discount"),
    "paid_on": _("day of payment"),
    "tracking": _("tracking"),
}


def sentence(code: str, params: Mapping[str, Any] | None = None, lang: str = "") -> str:
    """The sentence for a stored code, in `lang` (a Bitrix24 code) or else in the language of the page that is being made."""
    given = dict(params or {})
    variant = next((one for one in VARIANTS.get(code, ()) if given.get(one)), "")
    name = f"{code}:{variant}" if variant else code
    found = SENTENCES.get(f"{name}:{given.get('document')}") or SENTENCES.get(name)
    if found is None:
        return " ".join([code, *(f"{name}={value}" for name, value in sorted(given.items()))])
    words = _translations(lang)
    text = words.ungettext(*found, _count(given)) if isinstance(found, Counted) else words.ugettext(found)
    return _tidy(text % _Values(given, lang))


def changed(one: Mapping[str, Any], lang: str = "") -> tuple[str, str, str]:
    """A change as words: what it is, what it was, what it is now."""
    name = str(one.get("field", ""))
    writer = _status if name == "status" else _amount if name in _AMOUNTS else _plain
    before, after = (writer(value, {}, lang) if value else "" for value in (one.get("before"), one.get("after")))
    return field_words(name, lang), before, after


def codes_saying(text: str, lang: str = "") -> list[str]:
    """The codes whose sentences hold this text in the reader's language."""
    words, wanted = _translations(lang), text.casefold()
    return [
        code for code, found in SENTENCES.items() if any(wanted in words.ugettext(one).casefold() for one in ((found,) if isinstance(found, str) else found))
    ]


def repair(code: str, lang: str = "") -> tuple[str, str] | None:
    """The button that leads to the repair: its label and the name of the page; None if only a person's own act helps."""
    found = REPAIRS.get(code)
    return (_translations(lang).ugettext(found[0]), found[1]) if found else None


@lru_cache(maxsize=128)
def locale_of(lang: str) -> str:
    """The locale for a Bitrix24 language code; unknown codes read English."""
    try:
        return str(Locale.parse(LOCALES.get(lang.lower(), lang).replace("-", "_")))
    except (ValueError, UnknownLocaleError, TypeError):
        return "en"


@lru_cache(maxsize=128)
def written_locale(lang: str) -> str:
    """The locale that texts are written in for this code: its own if it is translated, else English, formats and direction included."""
    locale = locale_of(lang)
    return locale if gettext.find("messages", str(TRANSLATIONS), [locale]) else "en"


@lru_cache(maxsize=64)
def _loaded(locale: str) -> NullTranslations:
    return Translations.load(str(TRANSLATIONS), [locale])


def _locale(lang: str) -> Locale:
    return Locale.parse(written_locale(lang)) if lang else get_locale() or Locale("en")


def _translations(lang: str) -> NullTranslations:
    return _loaded(str(_locale(lang)))


def _count(params: Mapping[str, Any]) -> int:
    count = params.get("count", 0)
    return count if isinstance(count, int) else 0


def _tidy(text: str) -> str:
    """A parameter that was not stored leaves no hole: no colon, bracket or quotes around nothing."""
    text = re.sub(r"\s*[(]\s*[,)][)]?|\s*“”", "", text)
    return re.sub(r"\s*:\s*\.?$", ".", re.sub(r"\s+(?=[\s.,;])", "", text)).strip()


class _Values(dict[str, str]):
    """The parameters as the reader's language writes them; what was not stored is empty."""

    def __init__(self, params: Mapping[str, Any], lang: str) -> None:
        self._params, self._lang = params, lang

    def __missing__(self, name: str) -> str:
        value = self._params.get(name)
        if value is None or value == "":
            return ""
        return _WRITERS.get(name, _plain)(value, self._params, self._lang)


_AMOUNTS = ("amount_due", "amount_paid", "total")
_Writer = Callable[[Any, Mapping[str, Any], str], str]


def _plain(value: Any, _params: Mapping[str, Any], lang: str) -> str:
    if isinstance(value, list):
        return "; ".join(str(one).rstrip(". ") for one in value) + "."
    return _day(value, lang) if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value) else str(value)


def _amount(value: Any, params: Mapping[str, Any], lang: str) -> str:
    """Money, which is stored with a point; a count has none and stays as it is."""
    if not re.fullmatch(r"-?\d+\.\d+", str(value)):
        return _plain(value, params, lang)
    return str(format_decimal(Decimal(str(value)), "#,##0.00", locale=_locale(lang)))


def _day(value: str, lang: str) -> str:
    try:
        return format_date(date.fromisoformat(value), "medium", locale=_locale(lang))
    except ValueError:
        return value


def _until(value: Any, _params: Mapping[str, Any], lang: str) -> str:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)
    return format_time(moment, "short", tzinfo=get_timezone() if not lang else None, locale=_locale(lang))


def _seconds(value: Any, _params: Mapping[str, Any], lang: str) -> str:
    return format_timedelta(timedelta(seconds=float(value)), granularity="second", locale=_locale(lang))


def _cause(value: Any, params: Mapping[str, Any], lang: str) -> str:
    details = params.get("details")
    about = {"document": params.get("document")}
    return sentence(str(value), (details if isinstance(details, dict) else {}) | about, lang) if str(value) in SENTENCES else str(value)


def _rate(value: Any, _params: Mapping[str, Any], lang: str) -> str:
    return _translations(lang).ugettext(_("no tax")) if value == "none" else f"{value} %"


def _status(value: Any, _params: Mapping[str, Any], lang: str) -> str:
    code = f"status.{str(value).lower()}"
    return sentence(code, {}, lang) if code in SENTENCES else _plain(value, _params, lang)


def field_words(name: str, lang: str = "") -> str:
    """`lines[2].quantity` as words: "line 3: quantity", for people count from one."""
    words = _translations(lang)
    row = re.search(r"\[(\d+)\]", name)
    last = name.rpartition(".")[2].partition("[")[0]
    label = words.ugettext(FIELD_WORDS[last]) if last in FIELD_WORDS else last
    return f"{words.ugettext(_LINE)} {int(row[1]) + 1}: {label}" if row else label


def _fields(value: Any, _params: Mapping[str, Any], lang: str) -> str:
    return ", ".join(field_words(str(one), lang) for one in value) if isinstance(value, list) else str(value)


def _differences(value: Any, params: Mapping[str, Any], lang: str) -> str:
    if not isinstance(value, list):
        return str(value)
    words = _translations(lang)
    parts = []
    for one in value[:5]:
        pair = {"field": field_words(str(one.get("field", "")), lang), "crm": one.get("crm") or "–", "xero": one.get("xero") or "–"}
        parts.append(words.ugettext(_("%(field)s (here %(crm)s, in Xero %(xero)s)")) % pair)
    return ", ".join(parts) + (" …" if len(value) > 5 else "")


def _names(value: Any, _params: Mapping[str, Any], _lang: str) -> str:
    return ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)


_WRITERS: dict[str, _Writer] = {
    "contacts": _names,
    "after": _status,
    "before": _status,
    "cause": _cause,
    "problem": _cause,
    "differences": _differences,
    "due": _amount,
    "fields": _fields,
    "rate": _rate,
    "seconds": _seconds,
    "status": _status,
    "total": _amount,
    "until": _until,
}
