"""Every duration of the product in one table, in seconds. Fault trials divide them all by one number (`Config.pace`)."""

from __future__ import annotations

LEASE = 15.0
LEASE_RENEW = 5.0
#: A conductor gives its turn back after this long, so that no organisation starves another.
TURN = 10.0
SWEEP_EVERY = 5.0
#: A portal sends a test event through its queue, "with a slight delay" (B§5.4).
TEST_EVENT = 15.0
#: Workers and the sweeper say that they live, and count as gone when they were not seen for so long.
HEARTBEAT, HEARTBEAT_LATE = 10.0, 45.0
#: A callback, call or job that nobody touched for this long is rung for again by the sweep.
RING_AGAIN = 2.0
#: Messages of a partner gather for so long before a worker takes them: a bell each would drown the workers.
GATHER = 0.1
#: A document that an event named is left alone for so long after the last one, and then until the next tick of this clock (RULES 33).
QUIET, TICK = 0.2, 0.1
#: In a storm the window grows to this; no document is held longer than the last.
QUIET_MOST, HOLD_MOST = 10.0, 60.0
#: A portal's changes in so many seconds say whether there is a storm; those in the last few, whether one begins.
STORM_LOOK, STORM_BEGINS = 10.0, 2.0
#: While the first synchronisation runs nothing goes by itself.
FIRST_RUN_LOOK = 10.0
#: What changed in a portal is looked for so often, with so much overlap, where something goes by itself (RULES 32).
CRM_SWEEP, CRM_OVERLAP = 60.0, 60.0
#: Handlers are looked for again at an administrator's opening when that was done longer ago than this.
BOUND_FRESH = 3600.0
#: Deleted in the CRM: so long after that a draft in Xero goes by itself, where the portal chose that (RULES 21).
REMOVE_AFTER = 86400.0
TICKET = 60.0
#: A portal may still be at work on an import for so long after its worker died or gave up (B§4.2: sixty seconds a request).
IMPORT_LASTS = 75.0
#: A selection that its page has not prepared by then, for its process was killed, is prepared by a worker.
PREPARED_BY_PAGE = 120.0
CONSENT = 600.0
FRAME_PASS = 3600.0
#: Longer than a refresh and its one repetition can take (20 s each); who finds the turn taken waits so long before it says "busy".
REFRESH_LEASE = 45.0
REFRESH_PATIENCE = 12.0
#: Tokens are renewed when they have less than this left.
XERO_TOKEN_MARGIN = 180.0
BITRIX24_TOKEN_MARGIN = 60.0
#: Xero keeps an idempotency key for six minutes (X§10); we stop trusting it a little earlier.
KEY_TRUSTED = 330.0
#: How far back a look for a lost answer begins before the call was sent (RULES 11).
LOOK_BACK = 300.0
DIRECTORY_FRESH = 120.0
#: So old may contacts be that are known and linked, where Xero said nothing against them.
DIRECTORY_KNOWN = 86400.0
LISTS_FRESH = 600.0
ORGANISATION_FRESH = 3600.0
OVERLAP = 300.0
#: The same where somebody waits for an answer and a sweep follows.
NEAR_OVERLAP = 10.0
#: While changes come again and again, what happens by itself shares one look at what changed in Xero for so long (`sending/held.py`).
SHARED_READING = 8.0
#: Lists of an organisation, read again once for all its portals (`receiving/rhythm.py` holds the table).
SWEEP_DOCUMENTS = 3 * 3600.0
SWEEP_UNHEARD = 1800.0
SWEEP_WITHOUT_NEWS = 3600.0
SWEEP_UNHEARD_LARGE = 600.0
SWEEP_LISTS = 86400.0
#: News wants the documents, or another list, at most so often: our own writes are news too. One that could not be read is tried again after this long.
SWEEP_SOON = 15.0
SWEEP_LATER = 60.0
SWEEP_AGAIN = 900.0
#: How often the sweep looks which organisation is due, whose day has turned, and whom a trouble has to be told.
LOOK_EVERY = 30.0
#: A portal that stopped us (subscription, plan) is asked this often whether it lets us again.
STOPPED_AGAIN = 3600.0
WRITE_BACK_DELAY = 0.0
PERSON_TIMEOUT = 10.0
#: Bitrix24 ends a grant that was not renewed for 180 days (B§2.4).
BITRIX24_DORMANT = 120 * 86400.0
ERASE_AFTER_UNINSTALL = 90 * 86400.0
KEEP_CALLBACKS = 14 * 86400.0
KEEP_CALLS = 14 * 86400.0
KEEP_ACTIVITY = 365 * 86400.0
KEEP_JOBS = 30 * 86400.0
#: The call log: as long as this where there is room, and never less than the Market demands.
KEEP_EXCHANGES, KEEP_EXCHANGES_LEAST = 14 * 86400.0, 3 * 86400.0
KEEP_REACTIONS = 8 * 86400.0
KEEP_ROBOT_CALLS = 30 * 86400.0
#: What a customer owes is asked of Xero again after this long.
BALANCE_FRESH = 300.0

#: Waits before the next attempt of a job that may be tried again later; after the last one it ends as a problem.
BACK_OFF = (2.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0)
#: Pages of our own database ask Bitrix24 again whether somebody still has their rights; and how long they wait for its answer.
RIGHTS_FRESH = 60.0
RIGHTS_TIMEOUT = 3.0
