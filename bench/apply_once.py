"""One run of `bench.apply`, in a process of its own: `python -m bench.apply_once KIND PAYLOAD KEYS FOLDER`.

Prints the CPU seconds of the work itself and the process's largest resident memory. It imports only what its
kind needs.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from argosy.formats import payload
from argosy.formats.payload import HEADER_BYTES, USR, Header, Manifest

SLOT_BYTES = 1 << 30
ENGINE, FLOOR = "engine", "floor"

_PIECE_BYTES = 256 << 10


def main() -> int:
    """Entry point."""
    kind, path, keys, folder = sys.argv[1], *(Path(argument) for argument in sys.argv[2:])
    work = {ENGINE: _engine, FLOOR: _floor}[kind](path, keys, folder)
    begun_s = time.process_time()
    work()
    print(json.dumps({"cpu_s": time.process_time() - begun_s, "rss_kib": _peak_kib()}))
    return 0


def _floor(path: Path, keys: Path, folder: Path) -> Callable[[], None]:
    """The least that any installer does: unpack, hash, write, and make it durable."""
    import zstandard

    header, manifest = _head(path)

    def work() -> None:
        with path.open("rb", buffering=0) as file:
            file.seek(header.data_at)
            for part in manifest.parts:
                digest = hashlib.sha256()
                descriptor = os.open(folder / part.name, os.O_WRONLY | os.O_CREAT)
                for operation in part.operations:
                    data = file.read(operation.data_bytes)
                    packed = operation.compression == payload.ZSTD
                    unpacker = zstandard.ZstdDecompressor()
                    for piece in unpacker.read_to_iter(data, write_size=_PIECE_BYTES) if packed else (data,):
                        digest.update(piece)
                        os.write(descriptor, piece)
                os.fsync(descriptor)
                os.close(descriptor)
                assert digest.hexdigest() == part.sha256

    return work


def _engine(path: Path, keys: Path, folder: Path) -> Callable[[], None]:
    """What the engine's worker does with a payload, from checking the signature to arming the slot."""
    from argosy.base import ed25519
    from argosy.node.slots.model import StandbyTarget
    from argosy.node.update.apply import Steps, Wanted, apply, open_payload
    from argosy.node.update.journal import Journal
    from argosy.node.update.target import SlotTarget

    trusted = {ed25519.key_id(pem.read_bytes()): pem.read_bytes() for pem in keys.glob("*.pem")}
    source = _File(path)
    paths = StandbyTarget("b", folder / USR, 0, SLOT_BYTES, *(folder / name for name in ("k", "i", "c")))
    _, manifest = _head(path)
    importlib.import_module("argosy.node.update.worker")  # the real process has all of it in memory

    def work() -> None:
        wanted = Wanted(payload.APPLICATION_ID, manifest.version, trusted, ed25519.verify)
        opened = open_payload(source, wanted)
        journal = Journal(folder / "journal")
        apply(opened, source, SlotTarget(paths), journal, _Slots(), afresh=True, steps=Steps())

    return work


class _File:
    """A payload that is on the disk already: what a network costs is not the question here."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self.size_bytes = path.stat().st_size

    def seek(self, position: int) -> None:
        self._file.seek(position)

    def read(self, count: int) -> bytearray:
        data = bytearray(count)
        assert self._file.readinto(data) == count
        return data

    def finish(self) -> None:
        assert not self._file.read(1)

    def distrust(self, problem: object) -> None:
        raise AssertionError(problem)


class _Slots:
    """Slots whose table nobody writes: some sectors more or less do not show."""

    def invalidate(self) -> None:
        pass

    def arm(self, version: str) -> None:
        pass


def _head(path: Path) -> tuple[Header, Manifest]:
    with path.open("rb") as file:
        header = payload.decode_header(file.read(HEADER_BYTES))
        return header, payload.decode_manifest(file.read(header.manifest_bytes))


def _peak_kib() -> int:
    """The kernel's own word; getrusage(2) would count the parent before it became this program."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1])


if __name__ == "__main__":
    sys.exit(main())
