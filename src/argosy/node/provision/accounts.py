"""Users of the machine, as /etc/passwd and /etc/group under its root list them; and acting as one of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from argosy.base.errors import ArgosyError


@dataclass(frozen=True)
class Account:
    """A user that exists."""

    name: str
    uid: int
    gid: int
    home: str


def accounts(root: Path) -> dict[str, Account]:
    """All users by name."""
    return {
        fields[0]: Account(fields[0], int(fields[2]), int(fields[3]), fields[5])
        for fields in _lines(root / "etc/passwd", 7)
    }


def groups(root: Path) -> dict[str, int]:
    """All groups' ids by name."""
    return {fields[0]: int(fields[2]) for fields in _lines(root / "etc/group", 4)}


def account(root: Path, name: str) -> Account:
    """The user `name`. Raises `ArgosyError` if there is none."""
    found = accounts(root).get(name)
    if found is None:
        raise ArgosyError(f"there is no user {name!r}")
    return found


def owner_ids(root: Path, owner: str) -> tuple[int, int] | None:
    """(uid, gid) of `user`, `user:group` or `:group`, names or numbers; None for an empty `owner`.

    Without a group it stays root's, as chown(1) leaves it. Raises `ArgosyError` for a name that is not there.
    """
    if not owner:
        return None
    user, _, group = owner.replace(".", ":", 1).partition(":")
    uid = 0 if not user else int(user) if user.isdigit() else account(root, user).uid
    if not group:
        return uid, 0
    if group.isdigit():
        return uid, int(group)
    gid = groups(root).get(group)
    if gid is None:
        raise ArgosyError(f"there is no group {group!r}")
    return uid, gid


@contextlib.contextmanager
def acting_as(user: Account) -> Iterator[None]:
    """Touch files with a user's rights only, so that links in a home folder cannot lead root astray."""
    if os.geteuid() == user.uid:
        yield
        return
    own_groups = os.getgroups()
    os.setgroups([])
    os.setegid(user.gid)
    os.seteuid(user.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(own_groups)


def _lines(path: Path, fields: int) -> Iterator[list[str]]:
    try:
        text = path.read_text(errors="surrogateescape")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        parts = line.split(":")
        if len(parts) >= fields and parts[2].isdigit():
            yield parts
