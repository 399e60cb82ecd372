"""What every command line shares: exit codes, errors, JSON, pipes and completion. Real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

PROGRAM = """
import sys, time
from argosy.base import cli
from argosy.base.errors import ArgosyError, InputError
def works(_):
    cli.print_json({"name": "core-01"})
    return 0
def fails(_):
    raise ArgosyError("it broke", hint="mend it")
def wrong(_):
    raise InputError("not that")
def full(_):
    with open("/dev/full", "wb", buffering=0) as file:
        file.write(b"x")
def locked(_):
    raise PermissionError(13, "Permission denied", "/some/file")
def defect(_):
    raise ConnectionResetError(104, "Connection reset by peer")
def waits(_):
    print("waiting", flush=True)
    time.sleep(30)
    return 0
def talks(_):
    while True:
        print("y" * 1000)
parser = cli.program("demo", "first\\n  second", epilog="examples:\\n  demo works")
commands = parser.add_subparsers()
for handler in (works, fails, wrong, full, locked, defect, waits, talks):
    commands.add_parser(handler.__name__).set_defaults(handler=handler)
commands.choices["works"].add_argument("--verbose", action="store_true")
sys.exit(cli.main(parser))
"""


def demo(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *argv], capture_output=True, text=True, check=False, timeout=20
    )


@pytest.mark.parametrize(
    ("argv", "code", "stdout", "stderr"),
    [
        (["works"], 0, '{\n  "name": "core-01"\n}\n', ""),
        (["fails"], 1, "", "demo: it broke\n  mend it\n"),
        (["wrong"], 2, "", "demo: not that\n"),
        (["full"], 1, "", "demo: No space left on device\n"),
        (["locked"], 1, "", "demo: /some/file: Permission denied\n"),
    ],
)
def test_outcomes(argv: list[str], code: int, stdout: str, stderr: str) -> None:
    done = demo(*argv)
    assert (done.returncode, done.stdout, done.stderr) == (code, stdout, stderr)


def test_any_other_fault_keeps_its_traceback() -> None:
    done = demo("defect")
    assert done.returncode == 1 and "Traceback" in done.stderr


@pytest.mark.parametrize("argv", [["--no-such"], ["no-such"], ["works", "extra"]])
def test_wrong_usage_is_two_lines(argv: list[str]) -> None:
    done = demo(*argv)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2
    assert "--help`" in done.stderr


def test_without_a_command_the_help_appears_as_an_error() -> None:
    done = demo()
    assert (done.returncode, done.stdout) == (2, "")
    assert "first\n  second" in done.stderr
    assert "examples:\n  demo works" in done.stderr


def test_ctrl_c_is_no_traceback() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "waits"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=10)
    assert (process.returncode, stderr) == (130, "demo: interrupted\n")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "talks"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(timeout=10) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


def test_shell_completion_answers() -> None:
    """As argcomplete's shell function asks: the line in the environment, the answer on descriptor 8."""
    environment = {**os.environ, "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_SHELL": "bash"}
    environment |= {"COMP_LINE": "demo wo", "COMP_POINT": "7", "COMP_TYPE": "9"}
    shell = ["sh", "-c", 'exec "$0" "$@" 8>&1 9>/dev/null']
    done = subprocess.run(
        [*shell, sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "works"
