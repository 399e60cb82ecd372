"""The writer: changes of one moment share a transaction, and none fails for another's sake."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import sqlalchemy as sql
from sqlalchemy.exc import SQLAlchemyError

from argosy.server.database import Schema, open_database, sqlite_url
from argosy.server.update import store, tables
from argosy.server.update.model import Limits
from argosy.server.update.store import Sighting
from argosy.server.update.writer import Writer

LIMITS = Limits(write_every_s=0.01)


def first(connection: sql.Connection) -> None:
    tables.SCHEMA.steps[0](connection)
    connection.exec_driver_sql("CREATE TABLE number (n INTEGER CHECK (n >= 0))")


SCHEMA = Schema("update", (first,))


def insert(number: int) -> store.Change:
    return lambda connection: connection.exec_driver_sql(f"INSERT INTO number VALUES ({number})") and None


def sighting(machine: str, *, state: str | None = None, version: str = "1.0.0") -> Sighting:
    return Sighting("app", machine, "stable", version, 1.8e9, "", "", "", "", "", "", state, state)


def run(path: Path, story: Callable[[Writer], Awaitable[None]], limits: Limits = LIMITS) -> list[int]:
    """Let `story` happen to a writer that runs; the numbers that are in the database then."""

    async def whole() -> list[int]:
        with open_database(sqlite_url(path / "server.sqlite"), [SCHEMA]) as database:
            writer = Writer(database, limits)
            async with writer.running():
                await story(writer)
            with database.reading() as connection:
                return [row[0] for row in connection.exec_driver_sql("SELECT n FROM number ORDER BY n")]

    return asyncio.run(whole())


def machines(path: Path) -> dict[str, tuple[str, str | None]]:
    with open_database(sqlite_url(path / "server.sqlite"), [SCHEMA]) as database, database.reading() as c:
        return {row.id: (row.version, row.state) for row in c.execute(sql.select(tables.machines))}


def test_a_change_that_fails_fails_alone(tmp_path: Path) -> None:
    async def story(writer: Writer) -> None:
        results = await asyncio.gather(
            writer.write(insert(1)),
            writer.write(insert(2), insert(-1)),
            writer.write(insert(3)),
            return_exceptions=True,
        )
        assert isinstance(results[1], SQLAlchemyError)
        assert (results[0], results[2]) == (None, None)

    assert run(tmp_path, story) == [1, 3]


def test_what_was_noted_is_not_lost_with_a_change_that_fails(tmp_path: Path) -> None:
    async def story(writer: Writer) -> None:
        writer.note(sighting("core-01", state="current"))
        with pytest.raises(SQLAlchemyError):
            await writer.write(insert(-1))

    assert run(tmp_path, story) == []
    assert machines(tmp_path) == {"core-01": ("1.0.0", "current")}


def test_a_later_note_keeps_what_it_does_not_tell(tmp_path: Path) -> None:
    async def story(writer: Writer) -> None:
        writer.note(sighting("core-01", state="installed"))
        writer.note(sighting("core-01", version="1.0.1"))
        await writer.write()
        writer.note(sighting("core-01", version="1.0.2"))

    run(tmp_path, story)
    assert machines(tmp_path) == {"core-01": ("1.0.2", "installed")}


def test_notes_are_written_without_being_asked_for(tmp_path: Path) -> None:
    async def whole() -> None:
        with open_database(sqlite_url(tmp_path / "server.sqlite"), [SCHEMA]) as database:
            writer = Writer(database, LIMITS)
            async with writer.running():
                writer.note(sighting("core-01"))
                deadline = asyncio.get_running_loop().time() + 20
                while True:
                    with database.reading() as connection:
                        if store.count_machines(connection):
                            return
                    assert asyncio.get_running_loop().time() < deadline
                    await asyncio.sleep(0.01)

    asyncio.run(whole())


def test_too_many_notes_wait_for_the_database(tmp_path: Path) -> None:
    limits = Limits(write_every_s=3600, pending=3)

    async def story(writer: Writer) -> None:
        for number in range(10):
            await writer.room()
            writer.note(sighting(f"core-{number:02d}"))
            assert len(writer._noted) <= 3

    run(tmp_path, story, limits)
    assert len(machines(tmp_path)) == 10
