"""A rollout on the screen: a table that is drawn anew on a terminal, lines of what changed elsewhere."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from argosy.base.decode import encode_json
from argosy.cli.columns import print_columns, visible
from argosy.formats.updateapi import Machine, Rollout, RolloutState, State
from argosy.server.update.words import machine_name

if TYPE_CHECKING:
    from rich.console import ConsoleDimensions, Group
    from rich.table import Table
    from rich.text import Text

Show = Callable[[Rollout], None]

_BAR_CELLS = 10
_ROOM_FOR_BARS = 90
_ROOM_FOR_LINES = 70
_WHY_LINES = 3  # what a reason may take if there is room
_STEP_PERCENT = 10  # how much of a download is worth a line
_HEAD_LINES = 7  # and what stands below
_COLOURS = {
    State.CURRENT: "green",
    State.WAITING: "yellow",
    State.FELL_BACK: "bold red",
    State.FAILED: "bold red",
}
_ROLLOUT_COLOURS = {
    RolloutState.DONE: "bold green",
    RolloutState.STOPPED: "bold red",
    RolloutState.ABORTED: "bold red",
    RolloutState.PAUSED: "bold yellow",
}
_HEAD = ("MACHINE", "VERSION", "STATE", "WHY")


def print_rollout(rollout: Rollout) -> None:
    """How it stands, once."""
    for line in head_lines(rollout):
        print(line)
    machines = in_order(rollout)
    if machines:
        print()
        print_columns([_HEAD, *(_row(machine) for machine in machines)])
    if rest := rest_words(rollout, len(machines)):
        print(rest)


def head_lines(rollout: Rollout) -> tuple[str, ...]:
    """What it is, how it stands, and what to do about it if something has to be done."""
    what = f"{rollout.version} for the group {rollout.group}" if rollout.version else rollout.group
    lines = [f"{what}: {rollout.state.value}{_wave_words(rollout)}", visible(rollout.reason)]
    group = "" if rollout.group == "stable" else f" --group {rollout.group}"
    if rollout.state in (RolloutState.STOPPED, RolloutState.ABORTED):
        lines.append(f"`argosy rollout resume --retry{group}` gives it out again")
    if rollout.state is RolloutState.PAUSED:
        lines.append(f"`argosy rollout resume{group}` lets it go on")
    return tuple(lines)


def in_order(rollout: Rollout) -> Sequence[Machine]:
    """By name, so that they stay where they are; if these are not all, those first that need a look."""
    if len(rollout.machines) < rollout.machines_total:
        return rollout.machines
    return sorted(rollout.machines, key=lambda machine: (machine.alias or machine.id, machine.id))


def rest_words(rollout: Rollout, shown: int) -> str:
    """What there is besides the machines that are shown."""
    more = rollout.machines_total - shown
    return f"... and {more} more: `argosy machines --group {rollout.group}`" if more > 0 else ""


def state_words(machine: Machine) -> str:
    """A machine's state in the words of a rollout."""
    if machine.state is State.CURRENT:
        return "committed"
    percent = "" if machine.percent is None else f" {machine.percent}%"
    return f"{machine.state.value}{percent}"


def _wave_words(rollout: Rollout) -> str:
    if rollout.wave is None or rollout.state is not RolloutState.ROLLING:
        return ""
    number = "1 machine" if rollout.wave.limit == 1 else f"{rollout.wave.limit} machines"
    return f", wave {rollout.wave.number} of {rollout.wave.of} ({number})"


def _row(machine: Machine) -> tuple[str, str, str, str]:
    name = machine_name(machine.id, machine.alias)
    return name, machine.version, state_words(machine), machine.reason


@contextlib.contextmanager
def display(*, as_json: bool) -> Iterator[Show]:
    """Shows a rollout again and again: as JSON (a line whenever it changed), live, or in lines."""
    if as_json:
        yield _JsonLines().show
        return
    from rich.console import Console

    console = Console()
    if sys.stdout.isatty() and not console.is_dumb_terminal:
        from rich.live import Live

        with Live(console=console, auto_refresh=False) as live:
            yield lambda rollout: live.update(drawn(rollout, console.size), refresh=True)
        return
    yield Lines(lambda line: print(line, flush=True)).show


@dataclass(slots=True)
class _JsonLines:
    _said: str = ""

    def show(self, rollout: Rollout) -> None:
        # That time passes is no change.
        text = encode_json(rollout).decode()
        said = re.sub(r'"(now|seen)":"[^"]*"', "", text)
        if said != self._said:
            self._said = said
            print(text, flush=True)


@dataclass(slots=True)
class Lines:
    """A line for each thing that changed; `write` takes them."""

    write: Callable[[str], None]
    _said: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def show(self, rollout: Rollout) -> None:
        """What is new since the last time."""
        at = f"{rollout.now.astimezone():%H:%M:%S}"
        machines = in_order(rollout)
        for line, key in self._news(rollout, machines):
            said = tuple(_without_numbers(part) for part in line)
            if self._said.get(key) != said:
                self._said[key] = said
                self.write("  ".join((at, *line)))

    def _news(self, rollout: Rollout, machines: Sequence[Machine]) -> Iterator[tuple[tuple[str, ...], str]]:
        yield head_lines(rollout), ""
        for machine in machines:
            name, version, state, why = map(visible, _row(machine))
            if machine.percent is not None:
                rough = machine.percent // _STEP_PERCENT * _STEP_PERCENT
                state = f"{machine.state.value} {rough}%"
            yield (name, version, state, why), machine.id


def _without_numbers(text: str) -> str:
    """A sentence in which only a number of minutes changed is no news."""
    return re.sub(r"\b\d+ (s|min|h|days)\b", "", text)


def drawn(rollout: Rollout, size: ConsoleDimensions) -> Group:
    """The head and a table, for a terminal of this size."""
    from rich.console import Group
    from rich.text import Text

    machines = in_order(rollout)
    shown = list(machines)[: max(size.height - _HEAD_LINES, 3)]
    first, *others = head_lines(rollout)
    head = Text(first, _ROLLOUT_COLOURS.get(rollout.state, "bold"))
    rest = rest_words(rollout, len(shown))
    return Group(
        head, *map(Text, others), Text(""), _table(shown, size), *([Text(rest, "dim")] if rest else [])
    )


def _table(machines: Sequence[Machine], size: ConsoleDimensions) -> Table:
    """Reasons take several lines if there is room; else what is too long for the terminal is cut."""
    from rich.table import Table
    from rich.text import Text

    rows = []
    for machine in machines:
        name, version, _, why = map(visible, _row(machine))
        bar_cells = _BAR_CELLS if size.width >= _ROOM_FOR_BARS else 0
        rows.append((Text(name), Text(version), _state(machine, bar_cells), Text(why, "dim")))
    table = Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=True, collapse_padding=True
    )
    for column, head in enumerate(_HEAD[:-1]):
        width = max([len(head), *(len(row[column]) for row in rows)])
        table.add_column(head, no_wrap=True, width=width)
    crowded = size.width < _ROOM_FOR_LINES or _WHY_LINES * len(rows) > size.height - _HEAD_LINES
    table.add_column(_HEAD[-1], no_wrap=crowded, overflow="ellipsis", ratio=1)
    for row in rows:
        table.add_row(*row)
    return table


def _state(machine: Machine, bar_cells: int) -> Text:
    from rich.text import Text

    colour = _COLOURS.get(machine.state, "cyan")
    text = Text(state_words(machine), colour)
    if machine.percent is not None and bar_cells:
        full = machine.percent * bar_cells // 100
        text.append(" " + "━" * full, colour).append("─" * (bar_cells - full), "dim")
    return text
