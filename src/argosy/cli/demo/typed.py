"""Our own commands, run and shown as a user would type them."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, TypeVar

from argosy.base.decode import decode_json
from argosy.base.errors import ArgosyError
from argosy.base.run import run

if TYPE_CHECKING:
    from argosy.lab.model import Site

Answer = TypeVar("Answer")

_ARGOSY = (sys.executable, "-m", "argosy")


def type_command(*words: str, ends_with: int = 0) -> None:
    """Run our own command as a user would, and show it. Raises `ArgosyError` if it ends otherwise."""
    print(f"\n$ argosy {shlex.join(words)}", flush=True)
    code = run([*_ARGOSY, *words], capture=False, check=False).returncode
    if code != ends_with:
        raise ArgosyError(f"`argosy {shlex.join(words)}` ended with {code}")


def on_machine(site: Site, machine: str, *words: str) -> None:
    """The same, of a command on a machine."""
    type_command("ssh", "--name", site.cluster.name, machine, "--", *words)


def read_json(kind: type[Answer], *words: str) -> Answer:
    """What our own command prints with --json."""
    return decode_json(run([*_ARGOSY, *words, "--json"]).stdout, kind, source=shlex.join(words))
