"""Opening the database: what is made, what is refused, and what a transaction keeps."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import sqlalchemy as sql

from argosy.base.errors import ArgosyError, InputError, describe
from argosy.base.files import LockedError
from argosy.server.database import Schema, open_database, sqlite_url


def first(connection: sql.Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE room (number INTEGER)")


def second(connection: sql.Connection) -> None:
    connection.exec_driver_sql("INSERT INTO room VALUES (2)")


def failing(connection: sql.Connection) -> None:
    connection.exec_driver_sql("INSERT INTO room VALUES (3)")
    raise ValueError("stopped half-way")


def numbers(path: Path, schema: Schema) -> list[int]:
    with open_database(sqlite_url(path), [schema]) as database, database.reading() as connection:
        return [row[0] for row in connection.exec_driver_sql("SELECT number FROM room")]


def test_schema_steps_are_each_taken_once(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "server.sqlite"
    assert numbers(path, Schema("room", (first,))) == []
    assert numbers(path, Schema("room", (first, second))) == [2]
    assert numbers(path, Schema("room", (first, second))) == [2]


def test_a_step_that_fails_leaves_the_version_before_it(tmp_path: Path) -> None:
    path = tmp_path / "server.sqlite"
    numbers(path, Schema("room", (first,)))
    with pytest.raises(ValueError, match="stopped"):
        numbers(path, Schema("room", (first, second, failing)))
    assert numbers(path, Schema("room", (first, second))) == [2]


def test_a_database_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "server.sqlite"
    numbers(path, Schema("room", (first, second)))
    with pytest.raises(ArgosyError, match=r"newer Argosy \(room has version 2, this program knows 1\)"):
        numbers(path, Schema("room", (first,)))


def test_the_file_is_ours_alone_and_durable(tmp_path: Path) -> None:
    path = tmp_path / "server.sqlite"
    with open_database(sqlite_url(path), []) as database:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with database.writing() as connection:
            pragmas = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_second_server_is_refused(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "server.sqlite")
    with (
        open_database(url, []),
        pytest.raises(LockedError, match="another server is using"),
        open_database(url, []),
    ):
        pass


def test_a_transaction_that_fails_is_undone(tmp_path: Path) -> None:
    path = tmp_path / "server.sqlite"
    schema = Schema("room", (first, second))
    with open_database(sqlite_url(path), [schema]) as database:
        with pytest.raises(ValueError, match="stopped"), database.writing() as connection:
            failing(connection)
        database.check()
    assert numbers(path, schema) == [2]


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "sqlite:///:memory:", "nosuchdb://host/x"])
def test_a_wrong_url_is_refused(url: str) -> None:
    with pytest.raises(InputError), open_database(url, []):
        pass


@pytest.mark.parametrize(
    "url",
    [
        "nosuchdb://u:hunter2@host/x",
        "postgresql+psycopg://u:hunter2@127.0.0.1:1/x",
        "mysql+pymysql://u:hunter2@host/x",
    ],
)
def test_a_password_is_not_shown(url: str) -> None:
    with pytest.raises(ArgosyError) as raised, open_database(url, []):
        pass
    assert "hunter2" not in describe(raised.value, "argosy")


def test_a_missing_driver_is_named() -> None:
    with (
        pytest.raises(ArgosyError, match=r"`pymysql`.*not installed"),
        open_database("mysql+pymysql://user:secret@host/name", []),
    ):
        pass


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes, not a database, and they are long enough" * 20)
    with (
        pytest.raises(ArgosyError, match="cannot be used: file is not a database"),
        open_database(sqlite_url(path), []),
    ):
        pass


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ArgosyError, match="cannot be used"),
        open_database(sqlite_url(tmp_path / "file" / "server.sqlite"), []),
    ):
        pass
