"""Progress on standard error: drawn live on a terminal, lines elsewhere. Standard output stays clean.

Steps form a tree. A step belongs to the innermost step that its own thread or task has open; the first step
of a worker thread belongs to the innermost step of the thread that opened the display.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from argosy.base.progress import Progress

_BAR_CELLS = 20
_QUIET_S = 1.5  # without a terminal: the longest time without a sign of life
_NOTE_EVERY_S = 10.0  # without a terminal: how often a changing note gets a line of its own
_DOTS_A_LINE = 60

RUNNING, DONE, FAILED, INTERRUPTED = "running", "done", "failed", "interrupted"


@contextlib.contextmanager
def terminal_progress(stream: TextIO | None = None) -> Iterator[Progress]:
    """A display of progress on `stream` (default: standard error), for as long as the block runs."""
    stream = stream or sys.stderr
    console = Console(file=stream)
    drawn = stream.isatty() and not console.is_dumb_terminal
    with _drawn(console) if drawn else _in_lines(stream) as progress:
        yield progress


def duration_text(seconds: float) -> str:
    """`0.4 s`, `12 s` or `3 min 05 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


@dataclass(eq=False)
class _Step:
    """A step of the tree. Numbers and texts are replaced whole: another thread reads them without a lock."""

    title: str
    total: int | None
    parent: _Step | None
    started: float
    state: str = RUNNING
    ended: float = 0.0
    text: str = ""
    amount: int = 0
    children: list[_Step] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.text = " ".join(text.split())

    def advance(self, amount: int) -> None:
        with _counting:
            self.amount += amount

    def elapsed_s(self, now: float) -> float:
        return (now if self.state == RUNNING else self.ended) - self.started

    def share(self) -> float | None:
        """How much of the total is done, 0 to 1."""
        return min(1.0, max(0.0, self.amount / self.total)) if self.total else None

    def count(self) -> str:
        if not self.total:
            return ""
        return f"{self.amount}/{self.total}" if self.total < 1000 else f"{100 * (self.share() or 0):.0f}%"

    def branch(self, depth: int = 0) -> Iterator[tuple[int, _Step]]:
        """This step and all below it, each with its depth."""
        yield depth, self
        for child in list(self.children):
            yield from child.branch(depth + 1)


_counting = threading.Lock()
_open_step: ContextVar[_Step | None] = ContextVar("open_step", default=None)


class _Tree:
    """The open steps; calls `began` and `over` outside any lock, so that they may draw."""

    def __init__(self, began: Callable[[_Step], None], over: Callable[[_Step], None]) -> None:
        self.roots: list[_Step] = []
        self._began = began
        self._over = over
        self._owner = threading.get_ident()
        self._owners_step: _Step | None = None

    @contextlib.contextmanager
    def step(self, title: str, *, total: int | None = None) -> Iterator[_Step]:
        parent = _open_step.get() or self._owners_step
        if parent is not None and parent.state != RUNNING:
            parent = None
        step = _Step(title, total, parent, time.monotonic())
        (parent.children if parent else self.roots).append(step)
        self._enter(step)
        self._began(step)
        try:
            yield step
        except BaseException as error:
            is_failure = isinstance(error, Exception)
            self._end(step, FAILED if is_failure else INTERRUPTED)
            raise
        self._end(step, DONE)

    def _enter(self, step: _Step | None) -> None:
        _open_step.set(step)
        if threading.get_ident() == self._owner:
            self._owners_step = step

    def _end(self, step: _Step, state: str) -> None:
        step.ended = time.monotonic()
        step.state = state
        self._enter(step.parent)
        if step.parent is None:
            self.roots.remove(step)
        self._over(step)


@contextlib.contextmanager
def _drawn(console: Console) -> Iterator[Progress]:
    """On a terminal: open steps are redrawn in place; a whole finished branch scrolls up and stays."""

    def over(step: _Step) -> None:
        if step.parent is None:
            console.print(_Lines([step]))

    tree = _Tree(began=lambda step: None, over=over)
    live = Live(
        _Lines(tree.roots, only_open_if_long=True),
        console=console,
        refresh_per_second=6,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    )
    with live:
        yield tree


class _Lines:
    """What rich prints for some branches: one line a step, never wider than the terminal."""

    def __init__(self, roots: list[_Step], *, only_open_if_long: bool = False) -> None:
        self._roots = roots
        self._only_open_if_long = only_open_if_long

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        now = time.monotonic()
        steps = [pair for root in list(self._roots) for pair in root.branch()]
        if self._only_open_if_long and len(steps) > console.height - 2:
            steps = [(depth, step) for depth, step in steps if step.state == RUNNING]
        for depth, step in steps:
            line = _line(step, depth, now, ascii_only=options.ascii_only)
            line.truncate(options.max_width, overflow="crop" if options.ascii_only else "ellipsis")
            yield line


_SPINNER = {False: "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", True: "|/-\\"}
_MARKS = {
    DONE: (("✓", "+"), "green"),
    FAILED: (("✗", "x"), "bold red"),
    INTERRUPTED: (("■", "x"), "yellow"),
}


def _line(step: _Step, depth: int, now: float, *, ascii_only: bool) -> Text:
    elapsed_s = step.elapsed_s(now)
    line = Text("  " * depth, no_wrap=True)
    if step.state == RUNNING:
        frames = _SPINNER[ascii_only]
        line.append(frames[int(elapsed_s * 6) % len(frames)], "cyan")
    else:
        marks, colour = _MARKS[step.state]
        line.append(marks[ascii_only], colour)
    line.append(f" {step.title}")
    line.append(f"  {duration_text(elapsed_s)}", "dim")
    if step.state == DONE:
        return line
    if step.state != RUNNING:
        line.append(f"  {step.state}", _MARKS[step.state][1])
    share = step.share()
    if share is not None:
        full = int(share * _BAR_CELLS)
        done, rest = ("#", "-") if ascii_only else ("━", "─")
        line.append("  " + done * full, "cyan").append(rest * (_BAR_CELLS - full), "dim")
        line.append(f" {step.count()}")
    if step.text:
        line.append(f"  {step.text}", "dim")
    return line


@contextlib.contextmanager
def _in_lines(stream: TextIO) -> Iterator[Progress]:
    """Without a terminal: a line when a step begins and ends, and a sign of life in between."""
    writer = _LineWriter(stream)
    tree = _Tree(began=writer.began, over=writer.over)
    ending = threading.Event()

    def tick() -> None:
        while not ending.wait(0.25):
            writer.tick(tree.roots)

    ticker = threading.Thread(target=tick, name="progress", daemon=True)
    ticker.start()
    try:
        yield tree
    finally:
        ending.set()
        ticker.join()
        writer.end_dots()


class _LineWriter:
    """Writes whole lines, and dots while there is nothing new to say. A reader that went away is no error."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.RLock()
        self._dots = 0
        self._last_sign = time.monotonic()
        self._last_notes = self._last_sign
        self._said: dict[_Step, tuple[str, str]] = {}

    def began(self, step: _Step) -> None:
        self._write(step, f"{step.title} ...")

    def over(self, step: _Step) -> None:
        self._said.pop(step, None)
        how = "done in" if step.state == DONE else f"{step.state} after"
        self._write(step, f"{step.title}: {how} {duration_text(step.elapsed_s(step.ended))}")

    def tick(self, roots: list[_Step]) -> None:
        """Give a sign of life if the last one is old: changed notes now and then, else a dot."""
        now = time.monotonic()
        running = [step for root in list(roots) for _, step in root.branch() if step.state == RUNNING]
        if now - self._last_sign < _QUIET_S or not running:
            return
        changed = [step for step in running if self._said.get(step, ("", "")) != _news(step)]
        if changed and now - self._last_notes >= _NOTE_EVERY_S:
            self._last_notes = now
            for step in changed:
                self._said[step] = _news(step)
                words = ", ".join(filter(None, [step.count(), duration_text(step.elapsed_s(now)), step.text]))
                self._write(step, f"{step.title}: {words}")
        else:
            self._dot()

    def end_dots(self) -> None:
        with self._lock:
            if self._dots:
                self._put("\n")
                self._dots = 0

    def _write(self, step: _Step, text: str) -> None:
        depth = 0
        while step.parent is not None:
            step, depth = step.parent, depth + 1
        with self._lock:
            self.end_dots()
            self._put("  " * depth + text + "\n")

    def _dot(self) -> None:
        with self._lock:
            if self._dots == _DOTS_A_LINE:
                self.end_dots()
            self._dots += 1
            self._put(".")

    def _put(self, text: str) -> None:
        self._last_sign = time.monotonic()
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()


def _news(step: _Step) -> tuple[str, str]:
    return step.count(), step.text
