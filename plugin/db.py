"""The only ways to the database: `transaction()` writes, `reading()` reads. The only commit of the product is here."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import DateTime, Engine, LargeBinary, Text, event
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeDecorator

from plugin import wire

log = logging.getLogger("plugin.db")

# Set to DEBUG, SQLAlchemy writes every row that it reads, and what was sealed is open by then.
logging.getLogger("sqlalchemy.engine.Engine").addFilter(lambda record: not str(record.msg).startswith("Row "))


class Vault:
    """Encrypts what must not lie in the open. The first key encrypts, every key decrypts, so keys can be rotated while running."""

    def __init__(self) -> None:
        self._keys: MultiFernet | None = None

    def open(self, keys: tuple[str, ...]) -> None:
        self._keys = MultiFernet([Fernet(key) for key in keys])

    def lock(self, text: str) -> bytes:
        if self._keys is None:
            raise RuntimeError("no encryption key was given")
        return self._keys.encrypt(text.encode())

    def unlock(self, sealed: bytes) -> str:
        if self._keys is None:
            raise RuntimeError("no encryption key was given")
        try:
            return self._keys.decrypt(sealed).decode()
        except InvalidToken as error:
            raise RuntimeError("ENCRYPTION_KEYS holds no key that opens a stored secret") from error


#: Column types have no other way to the keys; `create_app` opens it once.
vault = Vault()


class EncryptedText(TypeDecorator[str]):
    """Text that is sealed at rest."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        return None if value is None else vault.lock(value)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> str | None:
        return None if value is None else vault.unlock(bytes(value))


class UtcDateTime(TypeDecorator[datetime]):
    """An instant. Goes in with any offset, lies as UTC, comes out with UTC attached on every database."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    raise TypeError(f"{type(value).__name__} has no place in a JSON column")


class Json(TypeDecorator[Any]):
    """A JSON value as text: the same on SQLite and PostgreSQL; Decimals and dates become strings."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(value, default=_plain, separators=(",", ":"), ensure_ascii=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


class Transaction(Session):
    """A session whose `after_commit` calls run once the rows are safe, and never when they are not."""

    def __init__(self, engine: Engine, ringer: Callable[[str], None]) -> None:
        super().__init__(engine, expire_on_commit=False)
        self._then: list[Callable[[], None]] = []
        self._ringer, self._bells = ringer, set[str]()

    def after_commit(self, then: Callable[[], None]) -> None:
        self._then.append(then)

    def ring(self, bell: str) -> None:
        """Ring this bell once after the commit, however often it is asked for."""
        self._bells.add(bell)

    def finish(self) -> None:
        """Commit, then ring. The only place where the product commits."""
        self.commit()
        for bell in sorted(self._bells):
            self._ringer(bell)
        for then in self._then:
            then()


class Database:
    """One engine, two doors."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        #: Who answers `Transaction.ring`; a sweep finds what was ordered while nobody listened.
        self.ringer: Callable[[str], None] = lambda bell: None

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Write: everything or nothing. The wire refuses to talk on this thread meanwhile."""
        wire.held.depth = getattr(wire.held, "depth", 0) + 1
        session = Transaction(self.engine, self.ringer)
        try:
            if self.engine.dialect.name == "sqlite":
                session.connection().exec_driver_sql("BEGIN IMMEDIATE")
            yield session
            session.finish()
        except BaseException:
            session.rollback()
            raise
        finally:
            session.close()
            wire.held.depth -= 1

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Read one consistent picture without making any writer wait."""
        wire.held.depth = getattr(wire.held, "depth", 0) + 1
        session = Session(self.engine, expire_on_commit=False)
        try:
            if self.engine.dialect.name == "sqlite":
                session.connection().exec_driver_sql("BEGIN")
            else:
                session.connection(execution_options={"postgresql_readonly": True})
            yield session
        finally:
            session.close()  # a rollback as well, and unlike one that is asked for it does not expire what was read: that is used outside
            wire.held.depth -= 1


def full_url(url: str) -> str:
    """The URL with its driver named: psycopg 3 for PostgreSQL."""
    return "postgresql+psycopg://" + url.split("://", 1)[1] if url.startswith(("postgresql://", "postgres://")) else url


def engine_options(url: str) -> dict[str, Any]:
    """Pools large enough for web threads and workers."""
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": 15, "check_same_thread": False}, "pool_size": 16, "max_overflow": 16}
    return {"pool_size": 16, "max_overflow": 16, "pool_pre_ping": True, "pool_recycle": 1800}


def prepare(engine: Engine) -> None:
    """SQLite: WAL, foreign keys, 512 KB of pages a connection, and no BEGIN by itself: `transaction()` and `reading()` say how (no update is lost so)."""
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=15000", "cache_size=-512"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
