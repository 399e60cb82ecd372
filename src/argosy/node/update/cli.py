"""`update_engine_client`: CoreOS's flags and output, and ours beside them."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence

from argosy.base import cli
from argosy.formats.version import parse_version
from argosy.node.update.client import EngineClient, connect, set_value
from argosy.node.update.model import Operation, Status, Why
from argosy.node.updateconf import MACHINE_FILE

_POLL_S = 1.0
_BAR_CELLS = 30

_EXAMPLES = """\
examples:
  update_engine_client -update                   check, and install what is there; exit code 0: reboot now
  update_engine_client -why                      why is this machine not updating?
  update_engine_client -why --json               the same for scripts
  sudo update_engine_client -pin 4892.0.0        take this version only; -unpin takes the pin away
  sudo update_engine_client -hold "moving house" no updates for now; -unhold lets them come again
  sudo update_engine_client -previous_slot       boot what was there before the update, and hold updates
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `update_engine_client`."""
    parser = cli.program("update_engine_client", "Talk to this machine's update engine.", epilog=_EXAMPLES)
    for flag, text in (
        ("status", "print what the engine does"),
        ("reset_status", "forget failures, and an update that waits for the reboot"),
        ("check_for_update", "start a check, and an update if there is one"),
        ("update", "the same, and wait for its end"),
        ("watch_for_updates", "print every change of status, forever"),
        ("why", "say why this machine is not updating"),
        ("retry", "with -update: also take a version that failed here before"),
        ("unpin", "take any version again"),
        ("unhold", "take updates again"),
        ("previous_slot", "boot the other slot from the next reboot on, and hold updates"),
    ):
        parser.add_argument(f"-{flag}", f"--{flag}", action="store_true", help=text)
    parser.add_argument("-pin", "--pin", metavar="VERSION", help="take this version only")
    parser.add_argument(
        "-hold", "--hold", metavar="REASON", nargs="?", const="yes", help="take no updates until -unhold"
    )
    parser.add_argument("--json", action="store_true", help="with -why or -status: print JSON")
    parser.set_defaults(handler=_run)
    return cli.main(parser, argv)


def _run(arguments: argparse.Namespace) -> int:
    if (code := _change(arguments)) is not None:
        return code
    asked = (arguments.check_for_update, arguments.update, arguments.retry, arguments.watch_for_updates)
    if not any((arguments.status, arguments.reset_status, arguments.why, *asked)):
        print("No flags specified. See update_engine_client --help.", file=sys.stderr)
        return 1
    return asyncio.run(_with_engine(lambda engine: _talk(engine, arguments)))


def _change(arguments: argparse.Namespace) -> int | None:
    """What changes this machine's settings or slots."""
    if arguments.previous_slot:
        return _previous_slot()
    changes = {
        "PIN": str(parse_version(arguments.pin)) if arguments.pin else "" if arguments.unpin else None,
        "HOLD": arguments.hold or ("" if arguments.unhold else None),
    }
    if all(value is None for value in changes.values()):
        return None
    for key, value in changes.items():
        if value is not None:
            set_value(MACHINE_FILE, key, value)
            print(f"{MACHINE_FILE}: {key}={value}" if value else f"{MACHINE_FILE}: no {key}")
    return 0


def _previous_slot() -> int:
    """Updates are held first: the engine would come back with the version that is left."""
    from argosy.node.slots.machine import bootable
    from argosy.node.slots.model import SlotsError
    from argosy.node.slots.store import this_machine

    slots = this_machine()
    state = slots.observe()
    name = state.standby.upper()
    if not bootable(state.bits.of(state.standby)):
        raise SlotsError(f"slot {name} cannot boot", hint="`argosy slots` says what is known about it")
    set_value(MACHINE_FILE, "HOLD", f"went back to slot {name}")
    slots.prioritize(state.standby)
    version = state.records.version(state.standby) or "of unknown version"
    print(f"Slot {name} ({version}) boots next. Updates are held until `update_engine_client -unhold`.")
    return 0


async def _with_engine(talk: Callable[[EngineClient], Awaitable[int]]) -> int:
    engine = await connect(os.environ.get("DBUS_SYSTEM_BUS_ADDRESS"))
    try:
        return await talk(engine)
    finally:
        engine.close()


async def _talk(engine: EngineClient, arguments: argparse.Namespace) -> int:
    """In the original's order."""
    if arguments.why:
        why = await engine.why()
        cli.print_json(why) if arguments.json else print(why_text(why))
        return 0
    if arguments.status:
        status = await engine.status()
        cli.print_json(status) if arguments.json else print(status_text(status))
        return 0
    if arguments.reset_status:
        _log("Setting Update Engine status to idle ...")
        await engine.reset()
        _log("ResetStatus() succeeded.")
        return 0
    if arguments.check_for_update or arguments.update or arguments.retry:
        _log("Initiating update check and install.")
        await engine.attempt(retry=arguments.retry)
    if arguments.update:
        _log("Waiting for update to complete.")
        return await _wait_for_end(engine)
    if arguments.watch_for_updates:
        _log("Watching for status updates.")
        await engine.watch(lambda status: _log(f"Got status update:\n{watched_text(status)}"))
    _log("Done.")
    return 0


async def _wait_for_end(engine: EngineClient) -> int:
    drawn = sys.stderr.isatty()
    shown: str = ""
    while True:
        status = await engine.status()
        line = bar(status) if drawn else str(status.operation)
        if line != shown:
            print(
                f"\r\033[K{line}" if drawn else line, end="" if drawn else "\n", file=sys.stderr, flush=True
            )
            shown = line
        if status.operation in (Operation.NEED_REBOOT, Operation.IDLE):
            break
        await asyncio.sleep(_POLL_S)
    if drawn:
        print(file=sys.stderr)
    if status.operation is Operation.NEED_REBOOT:
        _log("Update succeeded -- reboot needed.")
        return 0
    _log("Update failed.")
    why = await engine.why()
    _log("\n".join([why.answer, *(f"  {line}" for line in why.hint.splitlines())]))
    return 1


def status_text(status: Status) -> str:
    """The original's five lines."""
    return "\n".join(
        (
            f"LAST_CHECKED_TIME={status.checked_at_s}",
            f"PROGRESS={status.progress:f}",
            f"CURRENT_OP={status.operation}",
            f"NEW_VERSION={status.version}",
            f"NEW_SIZE={status.size_bytes}",
        )
    )


def watched_text(status: Status) -> str:
    """What the original prints of a signal."""
    return "\n".join(
        (
            f"  last_checked_time: {status.checked_at_s}",
            f"  progress: {status.progress:f}",
            f"  current_operation: {status.operation}",
            f"  new_version: {status.version}",
            f"  new_size: {status.size_bytes}",
        )
    )


def bar(status: Status) -> str:
    """One line for a terminal."""
    word = str(status.operation).removeprefix("UPDATE_STATUS_").replace("_", " ").lower()
    if status.operation is not Operation.DOWNLOADING:
        return f"{word} ..." if status.operation is not Operation.IDLE else word
    full = round(status.progress * _BAR_CELLS)
    return f"{word} {status.version} [{'#' * full}{'.' * (_BAR_CELLS - full)}] {status.progress:4.0%}"


def why_text(why: Why) -> str:
    """One answer, and what it rests on."""
    lines = [_sentence(why.answer), *(f"  {line}" for line in why.hint.splitlines()), ""]
    slot = f" in slot {why.slot}" if why.slot else ""
    lines.append(f"running    {why.version}{slot}, group {why.group}")
    lines.append(f"service    {why.server or 'none'}")
    if why.last_answer:
        lines.append(f"last said  {why.last_answer}")
    if why.next_check_in_s is not None:
        lines.append(f"next check in {max(1, round(why.next_check_in_s / 60))} min")
    if why.pin:
        lines.append(f"pinned to  {why.pin}")
    if why.waiting_events:
        lines.append(f"{why.waiting_events} events wait until the service can be reached")
    lines += [f"{each.code:16} {each.sentence}" for each in why.problems]
    lines += [f"failed before: {version}: {reason}" for version, reason in why.failed_versions.items()]
    return "\n".join(lines)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
