"""`argosy rollout` against a real server: what it shows, in lines and on a terminal, and what it changes."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from tests.cli.test_update import ID, answer, argosy, home, out, server, wrong
from tests.server.process import Server
from tests.server.update.small import Machine, small_payload

from argosy.cli.update.rolloutview import Lines, drawn, head_lines, rest_words, state_words
from argosy.formats import updateapi as api
from argosy.formats.updateapi import Rollout, RolloutState, State, Wave

__all__ = ["home", "server"]

OTHER = "a" * 32
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MACHINE = api.Machine("app", ID, "stable", "1.0.0", State.WAITING, "it is not its turn", NOW, alias="core-01")
ROLLOUT = Rollout(
    *("app", "stable", "stable", "2.0.0", RolloutState.ROLLING, "0 of 1 machines run 2.0.0", NOW, 1, 0, 1),
    machines=(MACHINE,),
)


@pytest.fixture
def first(server: Server, home: dict[str, str], tmp_path: Path) -> Machine:
    """One machine that was offered 4892.0.0; another has to wait for it."""
    release = small_payload(tmp_path / "release", "4892.0.0", server.keys)
    out(home, "publish", release, "--channel", "stable")
    first, second = (Machine(server.address, id_, "4890.0.0") for id_ in (ID, OTHER))
    assert first.ask().status == "ok"
    assert second.ask().status == "noupdate"
    return first


def runs(machine: Machine) -> None:
    """It has the version, and says so."""
    machine.version = "4892.0.0"
    machine.tell(3, 2, previous_version="4890.0.0")


def falls_back(machine: Machine) -> None:
    machine.tell(3, 0, error_code=1011, next_version="4892.0.0", reason="50-web: no\x1b[2J answer")


def test_nothing_to_roll_out(home: dict[str, str]) -> None:
    assert out(home, "rollout") == "stable: idle\nnothing was published to stable yet\n"
    assert "there is nothing to abort" in wrong(home, "rollout", "abort")


def test_once(home: dict[str, str], first: Machine) -> None:
    text = out(home, "rollout")
    assert text.startswith("4892.0.0 for the group stable: rolling, wave 1 of 2 (1 machine)\n")
    assert "3f9a51c2 takes 4892.0.0 first" in text
    found = answer(home, "rollout", "--group", "stable")
    assert (found["state"], found["version"], len(found["machines"])) == ("rolling", "4892.0.0", 2)
    assert "(not-found)" in wrong(home, "rollout", "--group", "nothere")


def test_until_it_is_done(server: Server, home: dict[str, str], first: Machine) -> None:
    runs(first)
    runs(Machine(server.address, OTHER, "4890.0.0"))
    done = argosy(home, "rollout", "watch", "--until-done", "--machines", "2")
    assert done.returncode == 0
    [head, *machines] = done.stdout.decode().splitlines()
    assert head[8:] == "  4892.0.0 for the group stable: done  all machines run 4892.0.0"
    assert ["committed" in line for line in machines] == [True, True]
    assert "there is nothing to abort: all machines run" in wrong(home, "rollout", "abort")


def test_until_it_is_stopped_and_gone_on_with(home: dict[str, str], first: Machine) -> None:
    falls_back(first)
    done = argosy(home, "rollout", "watch", "--until-done")
    assert done.returncode == 1
    text = done.stdout.decode()
    assert "stopped  4892.0.0 was stopped for the group stable: on 3f9a51c2, 50-web: no" in text
    assert "\x1b" not in text
    assert "`argosy rollout resume --retry` gives it out again" in text
    refused = wrong(home, "rollout", "resume")
    assert "50-web" in refused and "--retry" in refused
    assert answer(home, "rollout", "resume", "--retry")["state"] == "rolling"


def test_pause_resume_and_abort(home: dict[str, str], first: Machine) -> None:
    assert "`argosy rollout resume` lets it go on" in out(home, "rollout", "pause")
    assert answer(home, "rollout", "resume")["state"] == "rolling"
    assert "a person aborted its rollout" in out(home, "rollout", "abort")
    assert "4892.0.0 is stopped since" in out(home, "groups", "stable")
    assert argosy(home, "rollout", "watch", "--until-done").returncode == 1
    out(home, "rollout", "resume", "--retry")
    assert first.ask().status == "ok"


def test_wrong_usage(home: dict[str, str]) -> None:
    assert "belong to `argosy rollout watch`" in wrong(home, "rollout", "--until-done")
    assert "belongs to `argosy rollout resume`" in wrong(home, "rollout", "abort", "--retry")
    assert "invalid choice" in wrong(home, "rollout", "stop")


def test_which_group(server: Server, home: dict[str, str]) -> None:
    Machine(server.address, ID, "4890.0.0", "beta").ask()
    assert answer(home, "rollout")["group"] == "beta"
    Machine(server.address, OTHER, "4890.0.0", "alpha").ask()
    assert "one of alpha, beta" in wrong(home, "rollout")


@contextmanager
def watching(home: dict[str, str], *words: str, terminal: bool = False) -> Iterator[int]:
    """`argosy rollout watch` and the end of what it prints."""
    ours, theirs = pty.openpty() if terminal else os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "argosy", "rollout", "watch", *words],
        env={**os.environ, **home, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "24"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
    )
    os.close(theirs)
    try:
        yield ours
    finally:
        process.terminate()
        process.wait()
        os.close(ours)


def read_until(end: int, wanted: str, *, lines: bool = False, timeout_s: float = 30) -> str:
    """What was printed as far as `wanted`; with `lines`, to the end of its line: pipes deliver pieces."""
    text, deadline_s = b"", time.monotonic() + timeout_s
    while wanted not in text.decode(errors="replace") or (lines and not text.endswith(b"\n")):
        assert time.monotonic() < deadline_s, text
        if select.select([end], [], [], 0.2)[0]:
            text += os.read(end, 65536)
    return text.decode(errors="replace")


def test_live_on_a_terminal(home: dict[str, str], first: Machine) -> None:
    with watching(home, terminal=True) as end:
        read_until(end, "offered")
        first.tell(13, 1)
        read_until(end, "downloading")
        falls_back(first)
        text = read_until(end, "fell back")
    assert "\x1b[2J" not in text


def test_json_has_a_line_for_each_change(home: dict[str, str], first: Machine) -> None:
    with watching(home, "--json") as end:
        read_until(end, "offered", lines=True)
        first.tell(13, 1)
        text = read_until(end, "downloading", lines=True)
    assert [json.loads(line)["state"] for line in text.splitlines()] == ["rolling"]


def test_a_server_that_comes_back_is_waited_for(server: Server, home: dict[str, str], first: Machine) -> None:
    with watching(home) as end:
        read_until(end, "offered")
        server.end(signal.SIGTERM)
        time.sleep(2)
        server.start()
        first.tell(13, 1)
        read_until(end, "downloading")


# The view alone


def test_lines_are_for_what_is_news() -> None:
    lines: list[str] = []
    show = Lines(lines.append).show
    for machine in (
        MACHINE,
        replace(MACHINE, seen=NOW.replace(hour=13)),
        replace(MACHINE, reason="users were warned; it reboots in 5 min"),
        replace(MACHINE, reason="users were warned; it reboots in 4 min"),
        replace(MACHINE, state=State.DOWNLOADING, percent=11),
        replace(MACHINE, state=State.DOWNLOADING, percent=19),
        replace(MACHINE, state=State.DOWNLOADING, percent=20),
    ):
        show(replace(ROLLOUT, machines=(machine,)))
    told = [line[8:].split("  ")[1:] for line in lines]
    assert told[0] == ["2.0.0 for the group stable: rolling", "0 of 1 machines run 2.0.0"]
    assert [(state, why) for _, _, state, why in told[1:]] == [
        ("waiting", "it is not its turn"),
        ("waiting", "users were warned; it reboots in 5 min"),
        ("downloading 10%", "it is not its turn"),
        ("downloading 20%", "it is not its turn"),
    ]


@pytest.mark.parametrize(
    ("rollout", "lines"),
    [
        (
            replace(ROLLOUT, wave=Wave(2, 4, 25)),
            ("2.0.0 for the group stable: rolling, wave 2 of 4 (25 machines)", ROLLOUT.reason),
        ),
        (
            replace(ROLLOUT, group="canary", state=RolloutState.ABORTED, reason="it was aborted"),
            (
                "2.0.0 for the group canary: aborted",
                "it was aborted",
                "`argosy rollout resume --retry --group canary` gives it out again",
            ),
        ),
    ],
)
def test_what_stands_above_the_machines(rollout: Rollout, lines: tuple[str, ...]) -> None:
    assert head_lines(rollout) == lines


def test_machines_that_are_not_shown_are_counted() -> None:
    assert rest_words(ROLLOUT, 1) == ""
    many = replace(ROLLOUT, machines_total=1000)
    assert rest_words(many, 200) == "... and 800 more: `argosy machines --group stable`"


def test_a_state_in_words() -> None:
    assert state_words(replace(MACHINE, state=State.CURRENT)) == "committed"
    assert state_words(replace(MACHINE, state=State.DOWNLOADING, percent=42)) == "downloading 42%"


@pytest.mark.parametrize("width", [50, 80, 120])
@pytest.mark.parametrize("number", [1, 100])
def test_a_terminal_shows_all_but_the_ends_of_long_reasons(width: int, number: int) -> None:
    busy = replace(
        MACHINE, state=State.DOWNLOADING, percent=42, reason="downloads " + "very " * 20 + "slowly"
    )
    console = Console(file=StringIO(), width=width, height=24)
    rollout = replace(ROLLOUT, machines=(busy,) * number, machines_total=number)
    console.print(drawn(rollout, console.size))
    assert isinstance(console.file, StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) < 24
    [line, *_] = [line for line in lines if "downloading" in line]
    for words in ("core-01 (3f9a51c2)", "1.0.0", "downloading 42%"):
        assert words in line
    assert ("━" in line) == (width >= 90)
    if number == 1 and width == 120:
        assert "slowly" in " ".join(lines)
