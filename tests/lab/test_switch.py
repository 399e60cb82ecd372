"""The switch: its table on its own, and its cables against sockets that come and go as QEMU's do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from argosy.lab.qemu.switch import Switch, serve

EVERYONE = b"\xff" * 6


def station(number: int) -> bytes:
    return bytes([0x52, 0x54, 0, 0, 1, number])


def frame(to: bytes, sender: bytes, text: bytes = b"hello, world") -> bytes:
    return to + sender + b"\x08\x00" + text


@dataclass(eq=False)
class Wire:
    received: list[bytes] = field(default_factory=list)

    def send(self, frame: bytes) -> None:
        self.received.append(frame)


def test_a_learnt_address_gets_its_frames_alone() -> None:
    switch, wires = Switch(), [Wire(), Wire(), Wire()]
    for wire in wires:
        switch.attach(wire)
    switch.forward(frame(EVERYONE, station(0)), wires[0])
    switch.forward(frame(station(0), station(1)), wires[1])
    assert [len(wire.received) for wire in wires] == [1, 1, 1]
    assert wires[0].received == [frame(station(0), station(1))]


def test_a_machine_that_moved_is_followed_and_one_that_left_is_forgotten() -> None:
    switch, wires = Switch(), [Wire(), Wire(), Wire()]
    for wire in wires:
        switch.attach(wire)
    switch.forward(frame(EVERYONE, station(1)), wires[1])
    switch.detach(wires[1])
    switch.forward(frame(station(1), station(0)), wires[0])
    assert wires[2].received[-1] == frame(station(1), station(0)), "unknown again, so flooded"
    assert len(wires[1].received) == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=40)), max_size=50))
def test_no_frame_comes_back_and_none_makes_it_fail(frames: list[tuple[int, bytes]]) -> None:
    switch, wires = Switch(), [Wire() for _ in range(4)]
    for wire in wires:
        switch.attach(wire)
    for source, data in frames:
        before = [len(wire.received) for wire in wires]
        switch.forward(data, wires[source])
        assert len(wires[source].received) == before[source]
        if len(data) < 14:
            assert before == [len(wire.received) for wire in wires]


class Card:
    """A network card as QEMU has it: it listens, serves one cable at a time, and can be pulled out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cables: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def plug(self) -> None:
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(
            lambda r, w: self._cables.put_nowait((r, w)), self._path
        )
        self.reader, self.writer = await asyncio.wait_for(self._cables.get(), 5)

    async def pull(self) -> None:
        self._server.close()
        self.writer.close()

    def send(self, data: bytes) -> None:
        self.writer.write(len(data).to_bytes(4, "big") + data)

    async def receive(self) -> bytes:
        size = int.from_bytes(await self.reader.readexactly(4), "big")
        return await self.reader.readexactly(size)


async def exchange(one: Card, two: Card) -> None:
    one.send(frame(EVERYONE, station(1)))
    assert await asyncio.wait_for(two.receive(), 5) == frame(EVERYONE, station(1))
    two.send(frame(station(1), station(2)))
    assert await asyncio.wait_for(one.receive(), 5) == frame(station(1), station(2))


def test_either_side_may_come_and_go(tmp_path: Path) -> None:
    async def scenario() -> None:
        one, two = Card(tmp_path / "1.net"), Card(tmp_path / "2.net")
        serving = asyncio.create_task(serve(tmp_path))
        await one.plug()
        await two.plug()
        await exchange(one, two)
        await one.pull()
        await one.plug()
        await exchange(one, two)
        serving.cancel()

    asyncio.run(scenario())


def test_it_ends_with_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    asyncio.run(asyncio.wait_for(serve(folder), 5))
