"""Is this machine fit to serve, and the figures for whoever watches it. Computed when asked."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

from plugin import heartbeat
from plugin.models import Batch, Callback, Connection, Job, Portal
from plugin.receiving import rhythm
from plugin.services import Services


def health(services: Services) -> dict[str, Any]:
    """`ok` is false only when nothing can be served: without Redis pages load and orders are kept."""
    try:
        with services.db.reading() as session:
            session.execute(text("SELECT 1"))
        database = True
    except SQLAlchemyError:
        database = False
    return {"ok": database, "database": database, "redis": services.redis_answers()}


def metrics(services: Services) -> str:
    """Prometheus' text format. No portal is named."""
    lines = []
    with services.db.reading() as session:
        for kind, state, count in session.execute(select(Job.kind, Job.state, func.count()).where(Job.state != "done").group_by(Job.kind, Job.state)):
            lines.append(f'tallybridge_jobs{{kind="{kind}",state="{state}"}} {count}')
        oldest = session.scalar(select(func.min(Job.run_at)).where(Job.state == "waiting", Job.run_at <= services.now()))
        portals = session.scalar(select(func.count()).select_from(Portal).where(Portal.uninstalled_at.is_(None)))
        connections = session.scalar(select(func.count()).select_from(Connection).where(Connection.ended_at.is_(None)))
        broken = session.scalar(select(func.count()).select_from(Connection).where(Connection.ended_at.is_(None), Connection.problem.is_not(None)))
        batches = session.scalar(select(func.count()).select_from(Batch).where(Batch.state == "running"))
        callbacks = session.scalar(select(func.count()).select_from(Callback))
        open_callbacks = session.scalar(select(func.count()).select_from(Callback).where(Callback.done_at.is_(None)))
        without_news = rhythm.silent(session)
        workers, sweeps = (heartbeat.alive(session, kind, services.now(), services.config.pace).count for kind in (heartbeat.WORKER, heartbeat.SWEEP))
    waited = (services.now() - oldest).total_seconds() if oldest else 0.0
    lines += [
        f"tallybridge_oldest_due_seconds {waited:.1f}",
        f"tallybridge_portals {portals}",
        f"tallybridge_connections {connections}",
        f"tallybridge_connections_broken {broken}",
        f"tallybridge_organisations_without_news {without_news}",
        f"tallybridge_batches_running {batches}",
        f"tallybridge_callbacks_kept {callbacks}",
        f"tallybridge_callbacks_open {open_callbacks}",
        f"tallybridge_workers_alive {workers}",
        f"tallybridge_sweeps_alive {sweeps}",
        f"tallybridge_redis_up {int(services.redis_answers())}",
    ]
    for name, count in sorted(services.counts.read().items()):
        what, _, outcome = name.partition(":")
        lines.append(f'tallybridge_{what}_total{{outcome="{outcome}"}} {count}')
    return "\n".join(lines) + "\n"
