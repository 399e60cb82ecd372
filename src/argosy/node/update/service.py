"""`update-engine`: the daemon. It keeps OpenSSL, XML and zstd out of its memory: the worker has them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from argosy.base import cli
from argosy.base.lean import without_openssl
from argosy.base.log import set_up_logging

if TYPE_CHECKING:
    import asyncio

    from argosy.formats.rebootwhy import Why as RebootWhy
    from argosy.node.update.edges import Edges, Identity
    from argosy.node.update.engine import Engine

_KEYS = Path("/usr/share/argosy/keys")
_LOOK_EVERY_S = 1.0

_EPILOG = """\
settings: KEY=VALUE lines in /etc/coreos/update.conf, then /usr/share/coreos/update.conf
  GROUP=stable                          the channel of updates
  SERVER=http://172.17.8.1/v1/update/   the update service; empty: no updates
  PIN=4892.0.0                          only this version
  HOLD=yes                              no updates, or the reason for it
  FLOOR=4891.0.0                        nothing older
  HTTP_PROXY=http://proxy:3128          also HTTPS_PROXY and NO_PROXY

on image files, to try things:
  update-engine --disk disk.img --esp esp --running a --state state --conf update.conf --keys keys
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `update-engine`."""
    parser = cli.program("update-engine", "Keep this machine up to date.", epilog=_EPILOG)
    parser.add_argument("--disk", type=Path, metavar="FILE", help="the disk (default: the one that runs)")
    parser.add_argument("--esp", type=Path, metavar="DIR", help="the EFI system partition (default: /boot)")
    parser.add_argument("--running", choices=("a", "b"), help="with --disk: the slot that runs")
    parser.add_argument("--state", type=Path, metavar="DIR", help="default: /var/lib/update_engine")
    parser.add_argument(
        "--conf", type=Path, action="append", metavar="FILE", help="settings instead of CoreOS's three files"
    )
    parser.add_argument("--keys", type=Path, default=_KEYS, metavar="DIR", help=f"default: {_KEYS}")
    parser.add_argument("--bus", metavar="ADDRESS", help="default: the system bus")
    parser.set_defaults(handler=_run)
    return cli.main(parser, argv)


def _run(arguments: argparse.Namespace) -> int:
    set_up_logging()
    without_openssl()
    import asyncio

    from argosy.base.loop import run_daemon

    edges = _edges(arguments)
    failed = False

    async def body(stop: asyncio.Event) -> None:
        nonlocal failed
        failed = not await _serve(edges, arguments.bus, stop)

    asyncio.run(run_daemon(body))
    return 1 if failed else 0


async def _serve(edges: Edges, bus: str | None, stop: asyncio.Event) -> bool:
    """Until `stop`, or until the bus goes away: False."""
    from argosy.base.loop import Loop, run_until
    from argosy.base.notify import notify
    from argosy.node.update.dbus import Face
    from argosy.node.update.engine import TICK_S, Engine

    engine = Engine(edges, lambda status: face.show(status))
    loop = Loop("update engine", engine.step, tick_s=TICK_S)
    face = Face(engine, loop.wake)
    await face.connect(bus)
    engine.clean_up()
    notify("READY=1")
    try:
        await run_until(loop.run(), stop.wait(), face.gone(), _watch_locksmith(engine, loop.wake))
        if stop.is_set() and await _goes_down(bus):
            engine.say_goodbye()
        return stop.is_set()
    finally:
        notify("STOPPING=1")
        face.close()


async def _watch_locksmith(engine: Engine, wake: Callable[[], None]) -> None:
    """While a reboot is due, have the engine look when locksmithd has something new to say."""
    import asyncio

    before = None
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        now = engine.reboot_news()
        if now != before:
            before = now
            wake()


async def _goes_down(bus: str | None) -> bool:
    """Whether it is the machine that stops, not this service alone."""
    from argosy.base.errors import ArgosyError
    from argosy.node.systemd import SystemBus

    systemd = SystemBus(address=bus)
    try:
        return await systemd.is_going_down()
    except ArgosyError:
        return False
    finally:
        await systemd.close()


def _read_reboot() -> RebootWhy | None:
    from argosy.base.decode import decode_json
    from argosy.base.errors import InputError
    from argosy.formats.rebootwhy import PATH, Why

    try:
        return decode_json(Path(PATH).read_bytes(), Why, source=PATH)
    except (OSError, InputError):
        return None


def _edges(arguments: argparse.Namespace) -> Edges:
    from argosy.node.slots import store as slots
    from argosy.node.update.edges import Edges
    from argosy.node.update.process import WorkerProcess
    from argosy.node.update.store import FOLDER, Store
    from argosy.node.updateconf import FILES, PROBING_FILE, read_settings

    folder: Path = arguments.state or FOLDER
    esp: Path = arguments.esp or slots.ESP
    files = arguments.conf or FILES

    def find_slots() -> slots.Slots:
        if arguments.disk is None:
            return slots.this_machine(esp)
        running = arguments.running or "a"
        return slots.Slots(
            slots.Places(arguments.disk, esp, folder / "slots.json", folder / "slots.lock", running)
        )

    return Edges(
        store=Store(folder),
        slots=find_slots,
        read_settings=lambda: read_settings(files, os.environ),
        worker=WorkerProcess(),
        keys=arguments.keys,
        identity=_identity(),
        read_reboot=_read_reboot,
        read_probing=lambda: _text(PROBING_FILE),
    )


def _identity() -> Identity:
    from argosy.node.update.edges import Identity

    oem = _variables(Path("/etc/oem-release"))
    return Identity(
        boot_id=_text(Path("/proc/sys/kernel/random/boot_id")),
        machine_id=_text(Path("/etc/machine-id")),
        oem=oem.get("ID", ""),
        oem_version=oem.get("VERSION_ID", ""),
    )


def _variables(path: Path) -> dict[str, str]:
    pairs = (line.partition("=") for line in _text(path).splitlines() if "=" in line)
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
