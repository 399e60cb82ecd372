"""Who watches a rollout: one asks the sample service, one asks etcd."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argosy.lab.model import Site
    from argosy.lab.quorum import QuorumWatch
    from argosy.lab.ticks import Ticker

TICKS = "ticks.jsonl"
QUORUM = "quorum.jsonl"
_SERVICE_WITHIN_S = 300.0


@dataclass(frozen=True, slots=True)
class Watched:
    """Who watches a rollout."""

    ticker: Ticker
    quorum: QuorumWatch


@contextmanager
def watch(site: Site, folder: Path) -> Iterator[Watched]:
    """Both watch while the block runs; their logs are in `folder`."""
    from argosy.lab.quorum import QuorumWatch, over_ssh
    from argosy.lab.ticks import Ticker

    names = [machine.name for machine in site.cluster.machines]
    with (
        Ticker(site.cluster.machines, folder / TICKS) as ticker,
        QuorumWatch(over_ssh(site), names, folder / QUORUM) as quorum,
    ):
        yield Watched(ticker, quorum)


def await_service(ticker: Ticker, version: str) -> None:
    """A version is committed when the system is well; the units that are due on it may still be starting."""
    from argosy.cli.progress import terminal_progress
    from argosy.lab.ticks import EVERY_S

    deadline = time.monotonic() + _SERVICE_WITHIN_S
    with terminal_progress() as progress, progress.step("the sample service on every machine"):
        while time.monotonic() < deadline:
            if all((answer or "").endswith(f" {version}") for answer in ticker.tally.answers.values()):
                return
            time.sleep(EVERY_S)


def print_watched(watched: Watched, folder: Path) -> None:
    """What they have seen."""
    tally, quorum = watched.ticker.tally, watched.quorum
    print(f"""
{tally.ticks} ticks, five a second: {tally.missed} without an answer from any machine
  at most {tally.silent_at_once} silent at once, slowest first answer {tally.slowest_s:.1f} s
{quorum.samples} looks at etcd: {quorum.without} without quorum
every question and answer: {folder}""")


def clock(at: str) -> str:
    """The time of day of a log's time."""
    return f"{datetime.fromisoformat(at):%H:%M:%S} UTC"
