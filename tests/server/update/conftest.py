"""Fixtures of the update service's tests: both kinds of databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.postgres import Postgres
from tests.server.update.house import House

from argosy.server.database import sqlite_url


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL for all tests that want one."""
    with Postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new database, of each kind in turn."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "server.sqlite")
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.create_database()


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> House:
    """A service over a new database of each kind."""
    return House(database_url, tmp_path)
