"""The one place that starts processes.

`run` waits for a command and returns what it printed; `stream` hands over its output line by line while it
runs, `converse` does so beside other work; `start_detached` starts a process that outlives us;
`replace_process` becomes another program.
Nothing here goes through a shell, and no secret belongs on a command line: use `stdin` or a file.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from argosy.base.errors import ArgosyError

Argument = str | os.PathLike[str]

_TAIL_LINES = 12
_GRACE_S = 5.0
_LINE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended. `returncode` is negative when a signal ended it."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output, decoded, without the white space at its end."""
        return self.stdout.decode(errors="replace").rstrip()


class CommandError(ArgosyError):
    """A command could not be started, failed, or took too long."""

    def __init__(self, message: str, *, completed: Completed | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.completed = completed


def find_program(name: str) -> Path | None:
    """Where `name` is on PATH or in the administrators' folders, which some users' PATH lacks."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    found = shutil.which(name, path=path)
    return Path(found) if found else None


def run(
    argv: Sequence[Argument],
    *,
    stdin: bytes | Path | None = None,
    check: bool = True,
    timeout_s: float | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    capture: bool = True,
) -> Completed:
    """Run a command to its end.

    `stdin` is what the command reads: bytes, or the file of that path. `env` is added to our own environment.
    With `capture=False` the command shares our terminal.
    Raises `CommandError` if it cannot start, exceeds `timeout_s`, or, with `check`, exits with other than 0.
    """
    words = _words(argv)
    pipe = subprocess.PIPE if capture else None
    with stdin.open("rb") if isinstance(stdin, Path) else nullcontext() as file:
        try:
            done = subprocess.run(
                words,
                input=stdin if isinstance(stdin, bytes) else None,
                stdin=file or (subprocess.DEVNULL if stdin is None and capture else None),
                stdout=pipe,
                stderr=pipe,
                timeout=timeout_s,
                env=_environment(env),
                cwd=cwd,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CommandError(f"`{shlex.join(words)}` took longer than {timeout_s:g} s") from error
        except OSError as error:
            raise _cannot_start(words, error) from error
    completed = Completed(tuple(words), done.returncode, done.stdout or b"", done.stderr or b"")
    if check and completed.returncode != 0:
        raise _failed(completed)
    return completed


def stream(
    argv: Sequence[Argument],
    on_line: Callable[[str], None],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Run a command and call `on_line` for each line it prints (both outputs joined), as it prints them.

    Raises `CommandError` with the last lines if it fails. The command and its children end with us.
    """
    words = _words(argv)
    tail: list[str] = []
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(env),
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        raise _cannot_start(words, error) from error
    try:
        assert process.stdout is not None
        for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip()
            tail = [*tail[1 - _TAIL_LINES :], line]
            on_line(line)
        returncode = process.wait()
    except BaseException:
        _end_group(process)
        raise
    if returncode != 0:
        raise _failed(Completed(tuple(words), returncode, b"", "\n".join(tail).encode()))


def start_detached(
    argv: Sequence[Argument],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> int:
    """Start a process in a session of its own, its output appended to `log`; returns its process id."""
    words = _words(argv)
    with log.open("ab") as output:
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(env),
                cwd=cwd,
                pass_fds=tuple(pass_fds),
                start_new_session=True,
            )
        except OSError as error:
            raise _cannot_start(words, error) from error
    # The process is meant to outlive this object; without this its destructor would warn.
    process.returncode = 0
    return process.pid


def start_connected(argv: Sequence[Argument]) -> socket.socket:
    """Start a process that reads from and writes to the returned socket; it ends when the socket is closed.

    What it prints as errors goes where ours go.
    """
    words = _words(argv)
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(words, stdin=theirs.fileno(), stdout=theirs.fileno())
        except OSError as error:
            ours.close()
            raise _cannot_start(words, error) from error
    # Nobody waits for it; without this the object's destructor would warn.
    process.returncode = 0
    return ours


async def converse(
    argv: Sequence[Argument],
    on_line: Callable[[str], None],
    *,
    stdin: bytes,
    env: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
) -> int:
    """Start a process, give it `stdin`, call `on_line` for each line it prints, and return its exit code.

    What it prints as errors goes where ours go. It ends when the caller is cancelled, or after `timeout_s`.
    Raises `CommandError` if it cannot start or takes too long.
    """
    import asyncio  # most programs that start processes do without

    words = _words(argv)
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=pipe, stdout=pipe, env=_environment(env), limit=_LINE_BYTES
        )
    except OSError as error:
        raise _cannot_start(words, error) from error
    assert process.stdin is not None and process.stdout is not None
    try:
        async with asyncio.timeout(timeout_s):
            with suppress(ConnectionError):
                process.stdin.write(stdin)
                await process.stdin.drain()
                process.stdin.close()
            while line := await process.stdout.readline():
                on_line(line.decode(errors="replace").rstrip("\n"))
            return await process.wait()
    except TimeoutError as error:
        raise CommandError(f"`{shlex.join(words)}` took longer than {timeout_s:g} s") from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())


def replace_process(argv: Sequence[Argument], *, env: Mapping[str, str] | None = None) -> NoReturn:
    """Become another program: its exit code, signals and terminal are then the caller's own."""
    words = _words(argv)
    try:
        os.execvpe(words[0], words, {**os.environ, **(env or {})})
    except OSError as error:
        raise _cannot_start(words, error) from error


def _words(argv: Sequence[Argument]) -> list[str]:
    return [os.fspath(argument) for argument in argv]


def _environment(extra: Mapping[str, str] | None) -> dict[str, str] | None:
    return {**os.environ, **extra} if extra else None


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Stop a process that leads its own group, and its children: politely, then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(_GRACE_S)
            break
        except subprocess.TimeoutExpired:
            continue
    if process.stdout:
        process.stdout.close()


def _cannot_start(words: Sequence[str], error: OSError) -> CommandError:
    if isinstance(error, FileNotFoundError):
        # subprocess says by `filename` which of the two is missing: the folder to start in, or the program.
        if error.filename not in (None, words[0]):
            return CommandError(f"cannot start `{words[0]}`: there is no folder {error.filename}")
        return CommandError(f"`{words[0]}` is not installed", hint="install it, then try again")
    return CommandError(f"cannot start `{words[0]}`: {error.strerror}")


def _failed(completed: Completed) -> CommandError:
    code = completed.returncode
    how = f"was ended by signal {-code}" if code < 0 else f"exited with {code}"
    output = (completed.stderr or completed.stdout).decode(errors="replace").strip()
    tail = "\n".join(output.splitlines()[-_TAIL_LINES:])
    return CommandError(f"`{shlex.join(completed.argv)}` {how}", completed=completed, hint=tail or None)
