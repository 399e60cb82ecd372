"""A look at the host before long work begins."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable
from pathlib import Path

from argosy.base.errors import ArgosyError
from argosy.base.run import find_program
from argosy.lab.host.debian import subordinate_ranges
from argosy.lab.host.plan import has_range


class HostError(ArgosyError):
    """The host lacks something that the work needs."""


def check_host(programs: Iterable[str], *, files: Iterable[Path] = (), subordinate_ids: bool = False) -> None:
    """Raise `HostError` unless the host has all `programs` (names on PATH) and `files`.

    With `subordinate_ids`, an ordinary user must have ranges in /etc/subuid and /etc/subgid as well.
    """
    missing = [name for name in programs if find_program(name) is None]
    missing += [str(path) for path in files if not path.exists()]
    if missing:
        raise HostError(f"this host lacks {', '.join(missing)}", hint="run `argosy setup`")
    if subordinate_ids and os.getuid() != 0:
        _check_subordinate_ids()


def _check_subordinate_ids() -> None:
    account = pwd.getpwuid(os.getuid())
    for kind in ("subuid", "subgid"):
        if not has_range(subordinate_ranges(kind), account.pw_name, account.pw_uid):
            raise HostError(
                f"user {account.pw_name} has no ids for namespaces in /etc/{kind}", hint="run `argosy setup`"
            )
