"""Waiting until machines have booted and joined."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

from argosy.base.decode import decode_json
from argosy.base.errors import ArgosyError
from argosy.base.progress import Progress, Step
from argosy.base.run import CommandError, stream
from argosy.formats.nodestatus import NodeStatus
from argosy.lab import ssh, status
from argosy.lab.driver import Driver
from argosy.lab.model import Machine, Site
from argosy.lab.parallel import in_parallel
from argosy.lab.status import MachineStatus

_LOOK_EVERY_S = 0.5
# What ssh says of a machine that is still booting is no news.
_SSH_COMPLAINTS = ("kex_", "ssh:", "ssh_", "Connection ", "Timeout", "Bad packet", "mux_")
_CONSOLE_LINES = 12
_CONSOLE_COLUMNS = 200
_CONSOLE_TAIL_BYTES = 8000
# Control sequences and strings of ECMA-48, and xterm's way to end a string.
_ESCAPE = re.compile(r"\x1b(\][^\x07\x1b]*(\x07|\x1b\\)|\[[0-?]*[ -/]*[@-~]|[ -/]*[0-~])")


def wait_until_ready(
    site: Site, driver: Driver, machines: Sequence[Machine], progress: Progress, *, timeout_s: float
) -> list[MachineStatus]:
    """Wait for machines; raises `ArgosyError` with the end of its console for one that does not make it."""
    deadline = time.monotonic() + timeout_s

    def wait(machine: Machine) -> NodeStatus:
        with progress.step(machine.name) as step:
            step.note("booting")
            while True:
                node = _ask(site, machine, step, deadline)
                if node is not None:
                    return node
                _check_that_it_boots(site, driver, machine, deadline)
                time.sleep(_LOOK_EVERY_S)

    nodes = in_parallel(wait, machines)
    pairs = zip(machines, nodes, strict=True)
    return [status.machine_status(machine, node, silent="") for machine, node in pairs]


def _ask(site: Site, machine: Machine, step: Step, deadline: float) -> NodeStatus | None:
    """One command that waits inside the machine: asking again and again would cost it more than its work.

    None if it cannot be reached yet.
    """
    wait_s = max(1, round(deadline - time.monotonic()))
    words = ssh.command(site, machine, ["argosy", "status", "--json", "--wait", str(wait_s)])
    output: list[str] = []

    def on_line(line: str) -> None:
        """Notes on what it waits for come first; the JSON begins with a brace on a line."""
        if output or line.startswith("{"):
            output.append(line)
        elif not line.startswith(_SSH_COMPLAINTS):
            step.note(line)

    try:
        stream(words, on_line, env=ssh.environment(site, machine))
    except CommandError as error:
        code = error.completed.returncode if error.completed else 0
        if code == ssh.EXIT_NO_CONNECTION:
            return None
        if not output:
            raise _failure(site, machine, "does not say how it is", error.hint or "") from error
        node = decode_json("\n".join(output), NodeStatus, source=machine.name)
        raise _failure(site, machine, f"is {_words(node)} after {wait_s} s") from error
    return decode_json("\n".join(output), NodeStatus, source=machine.name)


def _check_that_it_boots(site: Site, driver: Driver, machine: Machine, deadline: float) -> None:
    """Raise `ArgosyError` if there is no point in waiting for a machine that does not answer."""
    if machine.name not in driver.running(site):
        raise _failure(site, machine, "went off while it booted")
    trouble = driver.trouble(site, machine)
    if trouble:
        raise _failure(site, machine, f"stands still: {trouble}")
    if time.monotonic() > deadline:
        raise _failure(site, machine, "did not boot in time")


def _words(node: NodeStatus) -> str:
    return f"{node.state}, etcd {node.etcd}, fleet {node.fleet},"


def _failure(site: Site, machine: Machine, what: str, more: str = "") -> ArgosyError:
    tail = console_tail(site.console_log(machine))
    name = site.cluster.name
    hint = [
        *([more] if more else []),
        *(
            ["the end of its console:", *(f"  | {line}" for line in tail)]
            if tail
            else ["its console is empty"]
        ),
        "all of it: argosy logs " + machine.name + _option(name),
        f"try again: argosy up{_option(name)}; give up: argosy destroy{_option(name)}",
    ]
    return ArgosyError(f"{machine.name} {what}", hint="\n".join(hint))


def console_tail(log: Path) -> list[str]:
    """The last lines of a console that have something in them."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _CONSOLE_TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    plain = (_printable(line) for line in text.splitlines())
    return [line for line in plain if line][-_CONSOLE_LINES:]


def _printable(line: str) -> str:
    """Without what moves the cursor or colours: it would do so on our terminal, too."""
    text = "".join(c for c in _ESCAPE.sub("", line) if c.isprintable())
    return text.rstrip()[:_CONSOLE_COLUMNS]


def _option(name: str) -> str:
    return "" if name == "argosy" else f" --name {name}"
