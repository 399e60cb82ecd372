"""Does the sample service answer without a gap? All machines are asked five times a second; a log is kept.

A tick is answered if at least one machine answers it. Whoever asks a service behind several machines does
just that: if one is away, the next is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from argosy.base.address import parse_address
from argosy.base.decode import decode_json
from argosy.base.http.client import Client
from argosy.base.http.message import HttpError
from argosy.lab.model import Machine
from argosy.lab.witness import Witness, now, write

EVERY_S = 0.2
ANSWER_WITHIN_S = 3.0
_BODY_BYTES = 1000


@dataclass(frozen=True, slots=True)
class Tick:
    """One question to all machines: when (UTC, ISO 8601), and what each answered; None if it did not.

    `took_s` is how long the first answer took; None if nobody answered.
    """

    at: str
    answers: Mapping[str, str | None]
    took_s: float | None = None

    @property
    def answered(self) -> bool:
        """Whether a client got an answer."""
        return any(answer is not None for answer in self.answers.values())


@dataclass(frozen=True, slots=True)
class Tally:
    """What many ticks come to. `answers` is what each machine said last, None if nothing just now.

    `silent_at_once` is the most machines that did not answer one tick.
    """

    ticks: int = 0
    missed: int = 0
    silent_at_once: int = 0
    slowest_s: float = 0.0
    answers: Mapping[str, str | None] = field(default_factory=dict)

    def plus(self, tick: Tick) -> Tally:
        """The tally with one more tick."""
        silent = sum(answer is None for answer in tick.answers.values())
        return Tally(
            self.ticks + 1,
            self.missed + (not tick.answered),
            max(self.silent_at_once, silent),
            max(self.slowest_s, tick.took_s or 0.0),
            tick.answers,
        )


def tally(ticks: Iterable[Tick]) -> Tally:
    """Count ticks."""
    result = Tally()
    for tick in ticks:
        result = result.plus(tick)
    return result


def read(log: Path) -> list[Tick]:
    """The ticks of a log. Raises `ArgosyError` if it is none."""
    lines = log.read_bytes().splitlines()
    return [decode_json(line, Tick, source=f"{log}:{number}") for number, line in enumerate(lines, start=1)]


class Ticker(Witness):
    """The lines of its log are in the order of the ticks. `tally` may be read at any time."""

    def __init__(self, machines: Iterable[Machine], log: Path) -> None:
        super().__init__(log)
        self._machines = tuple(machines)
        self.tally = Tally()

    def _watch(self, log: TextIO) -> None:
        asyncio.run(self._ask_on(log))

    async def _ask_on(self, log: TextIO) -> None:
        clients = {machine.name: _client(machine) for machine in self._machines}
        under_way: list[asyncio.Task[Tick]] = []
        due_s = time.monotonic()
        try:
            while not self._end.is_set():
                under_way.append(asyncio.create_task(ask(clients)))
                due_s += EVERY_S
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                while under_way and under_way[0].done():
                    self._note(under_way.pop(0).result(), log)
            for tick in await asyncio.gather(*under_way):
                self._note(tick, log)
        finally:
            for client in clients.values():
                client.close()

    def _note(self, tick: Tick, log: TextIO) -> None:
        write(log, tick)
        self.tally = self.tally.plus(tick)


async def ask(clients: Mapping[str, Client]) -> Tick:
    """One tick."""
    at, began_s = now(), time.monotonic()
    took_s: list[float] = []

    async def one(name: str) -> tuple[str, str | None]:
        answer = None
        with contextlib.suppress(HttpError, OSError):
            response = await clients[name].request("GET", "/")
            if response.status == 200:
                answer = response.body.decode(errors="replace").strip()
                took_s.append(time.monotonic() - began_s)
        return name, answer

    answers = await asyncio.gather(*(one(name) for name in clients))
    return Tick(at, dict(answers), round(min(took_s), 3) if took_s else None)


def _client(machine: Machine) -> Client:
    address = parse_address(f"http://127.0.0.1:{machine.service_port}")
    return Client(address, timeout_s=ANSWER_WITHIN_S, max_body_bytes=_BODY_BYTES)
