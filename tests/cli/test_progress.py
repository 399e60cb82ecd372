"""The display of progress, seen as a user sees it: on a real pseudo-terminal, and through a pipe."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from argosy.cli.progress import duration_text

NESTED = """
with p.step("outer"):
    with p.step("download", total=4_000_000) as s:
        s.note("kernel")
        s.advance(1_000_000)
        time.sleep(0.6)
    with p.step("unpack"):
        pass
print("to stdout")
"""
THREADS = """
def boot(name):
    with p.step(name):
        time.sleep(0.3)
with p.step("machines", total=2) as s:
    ts = [threading.Thread(target=boot, args=(n,)) for n in ("core-01", "core-02")]
    [t.start() for t in ts]
    [t.join() for t in ts]
"""
FAILS = """
with p.step("outer"):
    with p.step("works"):
        pass
    with p.step("breaks"):
        raise ArgosyError("it broke")
"""
WAITS = """
with p.step("outer"), p.step("waits") as s:
    s.note("for you")
    time.sleep(30)
"""
PREAMBLE = """
import threading, time
from argosy.base import cli
from argosy.base.errors import ArgosyError
from argosy.cli.progress import terminal_progress
def handler(_):
    with terminal_progress() as p:
        body(p)
    return 0
parser = cli.program("demo", "")
parser.set_defaults(handler=handler)
def body(p):
"""
EPILOGUE = "\nraise SystemExit(cli.main(parser, []))\n"


def program(body: str) -> list[str]:
    indented = "\n".join("    " + line for line in body.splitlines())
    return [sys.executable, "-c", PREAMBLE + indented + EPILOGUE]


def piped(body: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        program(body), env={**os.environ, **env}, capture_output=True, text=True, check=False
    )


def on_terminal(body: str, *, interrupt_after_s: float | None = None, **env: str) -> tuple[int, str]:
    """Run on a pseudo-terminal of 80x24; returns the exit code and all that was written."""
    primary, secondary = pty.openpty()
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
    process = subprocess.Popen(
        program(body),
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        env={**clean, "TERM": "xterm-256color", **env},
        start_new_session=True,
    )
    os.close(secondary)
    started = time.monotonic()
    written = b""
    for chunk in read_all(primary):
        written += chunk
        waited_s = time.monotonic() - started
        if interrupt_after_s is not None and waited_s > interrupt_after_s and b"waits" in written:
            process.send_signal(signal.SIGINT)
            interrupt_after_s = None
    os.close(primary)
    return process.wait(timeout=20), written.decode()


def read_all(descriptor: int) -> Iterator[bytes]:
    while True:
        select.select([descriptor], [], [], 20)
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # how a pseudo-terminal reports that the last writer has gone
            return
        if not chunk:
            return
        yield chunk


def screen(written: str) -> list[str]:
    """What is left to see: a terminal that knows the few sequences that the display uses."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[\s\S]", written):
        if token == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        elif token == "\r":
            column = 0
        elif token.startswith("\x1b["):
            if token[-1] == "A":
                row -= int(token[2:-1] or 1)
            elif token[-1] == "K":
                lines[row] = ""
        else:
            line = lines[row].ljust(column)
            lines[row] = line[:column] + token + line[column + 1 :]
            column += 1
    return [line.rstrip() for line in lines if line.strip()]


def without_times(lines: list[str]) -> list[str]:
    return [re.sub(r"\d+\.\d s", "N s", line) for line in lines]


def test_terminal_keeps_finished_steps() -> None:
    code, written = on_terminal(NESTED)
    assert code == 0
    assert without_times(screen(written)) == [
        "✓ outer  N s",
        "  ✓ download  N s",
        "  ✓ unpack  N s",
        "to stdout",
    ]
    assert re.search("━.*─.* 25%.*kernel", written), "a bar where the total is known"
    assert "\x1b[32m✓" in written
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "the cursor is shown again"


def test_terminal_shows_the_steps_of_threads_below_the_one_that_waits_for_them() -> None:
    _, written = on_terminal(THREADS)
    first, *rest = without_times(screen(written))
    assert first == "✓ machines  N s"
    assert sorted(rest) == ["  ✓ core-01  N s", "  ✓ core-02  N s"]


def test_terminal_without_colour() -> None:
    _, written = on_terminal(NESTED, NO_COLOR="1")
    assert "✓ outer" in written
    assert not re.search(r"\x1b\[(3\d|9\d|38;[0-9;]*)m", written)


def test_terminal_marks_what_failed_and_then_tells_the_error() -> None:
    code, written = on_terminal(FAILS)
    assert code == 1
    assert without_times(screen(written)) == [
        "✗ outer  N s  failed",
        "  ✓ works  N s",
        "  ✗ breaks  N s  failed",
        "demo: it broke",
    ]


def test_terminal_survives_ctrl_c() -> None:
    code, written = on_terminal(WAITS, interrupt_after_s=0.5)
    assert code == 130
    assert without_times(screen(written)) == [
        "■ outer  N s  interrupted",
        "  ■ waits  N s  interrupted  for you",
        "demo: interrupted",
    ]
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


def test_dumb_terminal_gets_plain_lines() -> None:
    _, written = on_terminal(NESTED, TERM="dumb")
    assert "\x1b" not in written
    assert "unpack: done in" in written


def test_many_steps_never_outgrow_the_terminal() -> None:
    body = """
with p.step("many"):
    for i in range(60):
        with p.step(f"number {i}"):
            time.sleep(0.02)
"""
    _, written = on_terminal(body)
    assert len(screen(written)) == 61
    erasures = re.findall(r"(?:\x1b\[2K|\x1b\[1A|\r)+", written)
    assert 15 < max(erasure.count("\x1b[1A") for erasure in erasures) < 24


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_every_locale_can_show_it(locale: str) -> None:
    code, written = on_terminal(NESTED, LC_ALL=locale, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert code == 0
    assert "outer" in written and "\\u" not in written


def test_pipe_gets_lines_and_stdout_stays_clean() -> None:
    done = piped(NESTED)
    assert done.stdout == "to stdout\n"
    assert without_times(done.stderr.splitlines()) == [
        "outer ...",
        "  download ...",
        "  download: done in N s",
        "  unpack ...",
        "  unpack: done in N s",
        "outer: done in N s",
    ]


def test_pipe_tells_failure_in_words() -> None:
    done = piped(FAILS)
    assert done.returncode == 1
    assert "  breaks: failed after" in done.stderr
    assert done.stderr.endswith("demo: it broke\n")


def test_pipe_is_never_silent_for_more_than_two_seconds_and_never_floods() -> None:
    body = """
with p.step("long") as s:
    for i in range(45):
        s.note(f"part {i}")
        time.sleep(0.1)
"""
    process = subprocess.Popen(program(body), stderr=subprocess.PIPE)
    assert process.stderr is not None
    times, written = [time.monotonic()], b""
    for chunk in read_all(process.stderr.fileno()):
        times.append(time.monotonic())
        written += chunk
    process.stderr.close()
    assert process.wait() == 0
    assert max(after - before for before, after in pairwise(times[1:])) < 2.0
    assert len(written) < 200
    assert re.fullmatch(r"long \.\.\.\n\.+\nlong: done in 4\.\d s\n", written.decode())


def test_reader_that_goes_away_does_not_stop_the_work() -> None:
    process = subprocess.Popen(program(NESTED), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stderr is not None and process.stdout is not None
    process.stderr.close()
    with process.stdout as output:
        assert output.read() == b"to stdout\n"
    process.wait()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
