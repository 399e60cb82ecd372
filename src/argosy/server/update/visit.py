"""One application of one request while it is answered: what it changes, in memory and on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from argosy.formats.omaha.model import RequestApp
from argosy.formats.updateapi import State
from argosy.server.update import store
from argosy.server.update.catalogue import Application
from argosy.server.update.model import Grant
from argosy.server.update.store import Change


@dataclass(slots=True)
class Effects:
    """What a request changes on disk, and what takes it back in memory should that fail."""

    changes: list[Change] = field(default_factory=list)
    undo: list[Callable[[], object]] = field(default_factory=list)


@dataclass(slots=True)
class Visit:
    """One application of one request."""

    known: Application
    app: RequestApp
    ours: bool
    arch: str
    now_s: float
    effects: Effects
    state: State | None = None
    reason: str | None = None
    percent: int | None = None
    offered: str | None = None

    def write(self, change: Change) -> None:
        """Have this written before the answer."""
        self.effects.changes.append(change)

    def set_grant(self, grant: Grant, *, fresh: bool = False) -> None:
        """The machine's grant begins or gets on."""
        self._keep_grant()
        self.known.put_grant(grant, fresh=fresh)
        self.write(lambda connection: store.put_grant(connection, grant))

    def end_grant(self, grant: Grant, *, done: bool = False) -> None:
        """The machine's grant is over; `done`: the machine runs the version."""
        self._keep_grant()
        if done:
            self.effects.undo.append(lambda: self.known.undo_done(grant))
        self.known.end(grant.machine, done=done)
        self.write(lambda connection: store.end_grant(connection, grant, done=done))

    def _keep_grant(self) -> None:
        before = self.known.grants.get(self.app.machine_id)
        if before:
            self.effects.undo.append(lambda: self.known.put_grant(before))
        else:
            self.effects.undo.append(lambda: self.known.end(self.app.machine_id))
