"""Everything that knows Xero's words. Keeps no state; calls one organisation through a `client.Caller` that it is given."""
