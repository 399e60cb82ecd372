"""The server's database: opening it, its schema's versions, its transactions.

SQLite by default; any database that SQLAlchemy has a driver for, by URL. What a transaction committed
survives a power cut. Each room of the server brings its own tables as a list of steps; how many of them have
been taken is the room's schema version.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from argosy.base.errors import ArgosyError, InputError
from argosy.base.files import LockedError, locked
from argosy.base.paths import data_folder

_WRITES = "argosy_writes"
_BUSY_TIMEOUT_MS = 5000
_LOCK = 0x4172676F7379  # "Argosy": the number of our lock in PostgreSQL
_LOCK_WAIT_S = 5.0

_versions = sql.Table(
    "schema_version",
    sql.MetaData(),
    sql.Column("room", sql.String(64), primary_key=True),
    sql.Column("version", sql.Integer, nullable=False),
)


@dataclass(frozen=True)
class Schema:
    """A room's tables. A step that was once released is never changed: a change is one more step."""

    room: str
    steps: tuple[Callable[[sql.Connection], None], ...]


class Database:
    """An open database with its schema up to date. Its methods may be called from several threads."""

    def __init__(self, engine: sql.Engine) -> None:
        self._engine = engine

    @contextlib.contextmanager
    def reading(self) -> Iterator[sql.Connection]:
        """A transaction that sees one state of the database throughout."""
        with self._engine.connect() as connection:
            if self._engine.dialect.name != "sqlite":  # whose transactions are always like this
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sql.Connection]:
        """A transaction that is committed, durably, when the block ends without an error."""
        with self._engine.connect() as connection, connection.execution_options(**{_WRITES: True}).begin():
            yield connection

    def check(self) -> None:
        """Write something, so that a full disk or a lost server shows. Raises `SQLAlchemyError`."""
        with self.writing() as connection:
            connection.execute(sql.update(_versions).values(version=_versions.c.version))

    def prepare(self, schemas: Sequence[Schema]) -> None:
        """Bring every room's tables up to date. Raises `ArgosyError` if a newer program made them."""
        _versions.create(self._engine, checkfirst=True)
        for schema in schemas:
            with self.writing() as connection:
                _upgrade(connection, schema)


@contextlib.contextmanager
def open_database(url: str, schemas: Sequence[Schema]) -> Iterator[Database]:
    """Open the database at `url` (as SQLAlchemy writes it) and bring its schema up to date.

    An SQLite file is made, with its folder, readable by us alone. The database is held: a second server is
    refused, for each knows in memory what it may promise.
    Raises `InputError` for a wrong URL, `ArgosyError` if the database cannot be used.
    """
    address = _parse(url)
    shown = address.render_as_string(hide_password=True)
    with contextlib.ExitStack() as stack:
        try:
            if address.get_backend_name() == "sqlite":
                stack.enter_context(_sqlite_file(Path(address.database or "")))
            engine = _connect(address)
            stack.callback(engine.dispose)
            if engine.dialect.name == "postgresql":
                stack.enter_context(_postgresql_held(engine, shown))
            database = Database(engine)
            database.prepare(schemas)
        except (SQLAlchemyError, OSError) as error:
            raise ArgosyError(
                f"the database {shown} cannot be used: {_reason(error)}",
                hint="give another with --database, or make this one usable",
            ) from error
        yield database


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def folder_of(url: str) -> Path:
    """The folder for what the server keeps beside its database: an SQLite file's own. Raises `InputError`."""
    address = _parse(url)
    if address.get_backend_name() == "sqlite":
        return Path(address.database or "").absolute().parent
    return data_folder()


def _parse(url: str) -> URL:
    try:
        address = make_url(url)
        address.get_dialect()
    except (ArgumentError, SQLAlchemyError) as error:
        raise InputError(
            "the database's URL is not one that SQLAlchemy knows",  # It may hold a password: not shown.
            hint="for example sqlite:////var/lib/argosy/server.sqlite or postgresql+psycopg://user@host/name",
        ) from error
    if address.get_backend_name() == "sqlite" and address.database in (None, "", ":memory:"):
        raise InputError(
            "a database in memory would lose every cluster when the server ends",
            hint="name a file: sqlite:////var/lib/argosy/server.sqlite",
        )
    return address


def _connect(address: URL) -> sql.Engine:
    try:
        engine = sql.create_engine(address, pool_pre_ping=address.get_backend_name() != "sqlite")
    except ModuleNotFoundError as error:
        raise ArgosyError(
            f"the Python package `{error.name}` for this database is not installed",
            hint=f"install {error.name} beside argosy, or use SQLite",
        ) from error
    if engine.dialect.name == "sqlite":
        sql.event.listen(engine, "connect", _set_up_sqlite)
        sql.event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextlib.contextmanager
def _sqlite_file(path: Path) -> Iterator[None]:
    """Make the file if it is not there and hold it. Its tokens are secrets: nobody else may read it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    with locked(path.with_name(f"{path.name}.lock"), busy=f"another server is using {path}"):
        yield


@contextlib.contextmanager
def _postgresql_held(engine: sql.Engine, shown: str) -> Iterator[None]:
    """Hold PostgreSQL's lock for this application.

    PostgreSQL frees it when the connection ends, but some time after a server that was killed: worth a wait.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        deadline = time.monotonic() + _LOCK_WAIT_S
        while not connection.scalar(sql.select(sql.func.pg_try_advisory_lock(_LOCK))):
            if time.monotonic() > deadline:
                raise LockedError(f"another server is using {shown}", hint="end it, or give this one its own")
            time.sleep(_LOCK_WAIT_S / 20)
        try:
            yield
        finally:
            with contextlib.suppress(SQLAlchemyError):  # A connection that broke has let go of it already.
                connection.scalar(sql.select(sql.func.pg_advisory_unlock(_LOCK)))


def _set_up_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver must not begin transactions by itself: `_begin_sqlite` does.
    connection.isolation_level = None
    # A write-ahead log lets readers go on during a write; FULL syncs it at every commit.
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={_BUSY_TIMEOUT_MS}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sql.Connection) -> None:
    # A transaction that reads first and then writes could fail half-way: one that will write says so.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _upgrade(connection: sql.Connection, schema: Schema) -> None:
    at_room = _versions.c.room == schema.room
    version = connection.scalar(sql.select(_versions.c.version).where(at_room).with_for_update())
    if version is None:
        connection.execute(sql.insert(_versions).values(room=schema.room, version=0))
        version = 0
    if version > len(schema.steps):
        raise ArgosyError(
            f"the database was made by a newer Argosy ({schema.room} has version {version}, "
            f"this program knows {len(schema.steps)})",
            hint="use that Argosy, or another database",
        )
    for step in schema.steps[version:]:
        step(connection)
    connection.execute(sql.update(_versions).where(at_room).values(version=len(schema.steps)))


def _reason(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    text = str(cause.strerror) if isinstance(cause, OSError) and cause.strerror else str(cause)
    return text.splitlines()[0] if text else type(cause).__name__
