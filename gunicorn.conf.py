"""gunicorn reads this by itself when it starts in this folder; arguments on its command line win."""

from typing import Any

from plugin import process

worker_class = "gthread"
threads = 8
#: Without the query: tickets, states and codes pass through addresses once and belong in no log.
access_log_format = '%(h)s %(t)s "%(m)s %(U)s %(H)s" %(s)s %(b)s %(M)s ms'
control_socket_disable = True


def post_worker_init(worker: Any) -> None:
    """Everything is loaded."""
    process.settle()
