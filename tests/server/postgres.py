"""A PostgreSQL of our own: a cluster in a temporary folder, reached by its socket only.

The programs are those of Debian's package. PostgreSQL refuses to run as root: then it runs as the user that
the package made for it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from pathlib import Path

from sqlalchemy.engine import URL

from argosy.base.run import run

_PROGRAMS = Path("/usr/lib/postgresql")
_USER = "postgres"


class Postgres:
    """Started by `with`; ended, and its folder removed, at the block's end."""

    def __init__(self) -> None:
        self._programs = max(_PROGRAMS.glob("*/bin"), key=lambda path: int(path.parent.name))
        self._folder = Path()

    def __enter__(self) -> Postgres:
        # Short, for the socket's sake: its path has 107 characters at most.
        self._folder = Path(tempfile.mkdtemp(prefix="argosy-pg."))
        if os.getuid() == 0:
            shutil.chown(self._folder, _USER)
        data = self._folder / "data"
        self._run("initdb", "-D", data, "-U", _USER, "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories='{self._folder}'"
        self._run("pg_ctl", "-D", data, "-w", "-o", options, "-l", self._folder / "log", "start")
        return self

    def __exit__(self, *error: object) -> None:
        self._run("pg_ctl", "-D", self._folder / "data", "-m", "immediate", "-w", "stop")
        shutil.rmtree(self._folder)

    def create_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"t{uuid.uuid4().hex}"
        self._run("createdb", "-h", self._folder, "-U", _USER, name)
        url = URL.create(
            "postgresql+psycopg", username=_USER, database=name, query={"host": str(self._folder)}
        )
        return url.render_as_string(hide_password=False)

    @property
    def folder(self) -> Path:
        return self._folder

    def _run(self, program: str, *words: str | Path) -> None:
        user = ["runuser", "-u", _USER, "--"] if os.getuid() == 0 else []
        run([*user, self._programs / program, *words], timeout_s=120, cwd=Path("/"))
