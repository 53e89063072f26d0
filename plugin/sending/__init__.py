"""The heart: an organisation's conductor claims, reads, translates, resolves, sends fifty at a time, and records."""
