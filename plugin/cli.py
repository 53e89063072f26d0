"""The commands: `flask worker`, `flask sweep`, `flask doctor`, `flask new-key`; `flask db …` is Flask-Migrate's."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import click
from flask import Flask, current_app

from plugin.config import Config, ConfigError, Need
from plugin.services import Services


def needs_of(argv: Sequence[str]) -> tuple[Need, ...]:
    """Each command asks only for the settings it needs: migrations and the doctor start with a half-filled configuration."""
    words = set(argv[1:])
    return ("database",) if words & {"db", "doctor", "new-key"} else ("web",)


def _services() -> Services:
    services: Services = current_app.extensions["tallybridge"]
    return services


def log_to_stderr(level: int = logging.INFO) -> None:
    """One line an event; the wire masks secrets before anything gets here."""
    logging.basicConfig(level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("rq").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def register(app: Flask) -> None:
    """Add the commands."""

    @app.cli.command("worker")
    def worker() -> None:
        """Do the ordered work, until stopped."""
        from plugin.worker import run

        log_to_stderr()
        run(_services())

    @app.cli.command("sweep")
    @click.option("--once", is_flag=True, help="One round, for cron; otherwise every five seconds.")
    def sweep(once: bool) -> None:
        """Find what no bell announced, and tidy up. Safe to run twice."""
        from plugin.sweep import run

        log_to_stderr()
        run(_services(), once)

    @app.cli.command("doctor")
    def doctor() -> None:
        """Check the configuration and everything it points at; exit 1 when something is wrong."""
        from plugin.doctor import examine, remarks

        try:
            config: Config | None = Config.from_env()
            faults: list[str] = []
        except ConfigError as error:
            config, faults = None, error.faults
        faults += examine(_services(), config)
        for fault in faults:
            click.echo(f"✗ {fault}")
        for remark in remarks(config) if config is not None else ():
            click.echo(f"· {remark}")
        click.echo("All is well." if not faults else f"{len(faults)} thing(s) to put right.")
        raise SystemExit(1 if faults else 0)

    @app.cli.command("reseal")
    def reseal() -> None:
        """Seal every stored secret with the first of ENCRYPTION_KEYS; afterwards the other keys can go."""
        from plugin.usecases.reseal_secrets import reseal

        click.echo(f"{reseal(_services())} secret(s) lie under the first key now.")

    @app.cli.command("new-key")
    def new_key() -> None:
        """Print a fresh key for ENCRYPTION_KEYS."""
        from cryptography.fernet import Fernet

        click.echo(Fernet.generate_key().decode())
