"""The commands that change units: submit, load, start, stop, unload, restart, destroy."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from argosy.base.errors import ArgosyError, InputError
from argosy.formats.fleet import UnitEntity, UnitTarget
from argosy.formats.requirements import requirements
from argosy.formats.unit import Option, parse_name, parse_unit, unit_hash
from argosy.node.fleet.ctl import tables
from argosy.node.fleet.ctl.context import Context, known_unit, names, unit_name

_POLL_S = 0.25
_ATTEMPT_S = 2.0
_PATIENCE_S = 3.0


def submit(context: Context) -> int:
    """Submit units that are not there yet."""
    for argument in context.arguments.units:
        _submit(context, argument, ("inactive",))
    return 0


def load(context: Context) -> int:
    """Submit if needed, and schedule."""
    return _raise_to(context, UnitTarget.LOADED, "load", ("inactive", "loaded"))


def start(context: Context) -> int:
    """Submit if needed, schedule, and start."""
    return _raise_to(context, UnitTarget.LAUNCHED, "start", ("inactive", "loaded", "launched"))


def stop(context: Context) -> int:
    """Stop units; they stay on their machines."""
    return _lower_to(context, UnitTarget.LOADED, "stop", "stopped")


def unload(context: Context) -> int:
    """Stop units and take them from their machines."""
    return _lower_to(context, UnitTarget.INACTIVE, "unload", "unloaded")


def restart(context: Context) -> int:
    """Stop units for real, then start them again."""
    for name in names(context):
        unit = known_unit(context, name)
        if tables.is_global(unit) or unit.current_state == UnitTarget.INACTIVE:
            raise ArgosyError(f"cannot restart {name}: it is not on one machine")
        _set_target(context, name, UnitTarget.LOADED)
        _wait_for_state(context, name, UnitTarget.LOADED, silent=True)
        _set_target(context, name, UnitTarget.LAUNCHED)
        _wait_for_state(context, name, UnitTarget.LAUNCHED)
    return _wait_until_active(context, names(context))


def destroy(context: Context) -> int:
    """Stop units and forget them."""
    for name in names(context):
        if context.client.unit(name) is None:
            print(f"Unit {name} not found in registry", file=sys.stderr)
            continue
        context.client.delete_unit(name)
        if not context.arguments.no_block:
            _wait(context, lambda name=name: context.client.state(name) is None, f"{name} to end")  # type: ignore[misc]
        print(f"Destroyed {name}")
    return 0


def _submit(context: Context, argument: str, replaceable: Sequence[str]) -> None:
    """Submit one unit: from a file, or for an instance from its template, in the cluster or in a file."""
    name = unit_name(argument)
    parse_name(name)
    known = context.client.unit(name)
    replace = getattr(context.arguments, "replace", False)
    options = _local_options(argument, name)
    if known is not None:
        if options is None or unit_hash(options) == unit_hash(known.options):
            if replace:
                print(f"Found same Unit({name}) in Registry, nothing to do")
            return
        if not replace:
            warning = (
                f"WARNING: Unit {name} in registry differs from local unit file. Add --replace to override."
            )
            print(warning, file=sys.stderr)
            return
        if known.desired_state not in replaceable:
            raise ArgosyError(
                f"cannot replace {name} in state {known.desired_state}", hint="use `fleetctl start`"
            )
    if options is None:
        options = _template_options(context, name)
    wanted = requirements(parse_name(name), options)
    for option in wanted.unknown:
        print(f"WARNING: Unit {name}: unknown option in [X-Fleet]: {option}", file=sys.stderr)
    target = known.desired_state if known is not None else UnitTarget.INACTIVE.value
    context.client.put_unit(UnitEntity(name, options, target))
    if known is None:
        print(f"Unit {name} inactive")


def _local_options(argument: str, name: str) -> list[Option] | None:
    path = Path(argument)
    template = parse_name(name).template
    candidates = [path, path.with_name(name), *([path.with_name(template)] if template else [])]
    for candidate in candidates:
        if candidate.is_file():
            return read_unit(candidate, name)
    return None


def read_unit(path: Path, name: str) -> list[Option]:
    """Read and check a unit file. Raises `InputError` with the line."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    file = parse_unit(text, source=str(path))
    requirements(parse_name(name), file.options, file=file)
    return list(file.options)


def _template_options(context: Context, name: str) -> list[Option]:
    parsed = parse_name(name)
    if not parsed.instance or parsed.template is None:
        raise ArgosyError(f"unable to find Unit({name}) in Registry or on filesystem")
    template = context.client.unit(parsed.template)
    if template is None:
        raise ArgosyError(
            f"unable to find Unit({name}) or its template {parsed.template} in Registry or on filesystem"
        )
    return template.options


def _raise_to(context: Context, target: UnitTarget, verb: str, replaceable: Sequence[str]) -> int:
    waiting = []
    for argument in context.arguments.units:
        _submit(context, argument, replaceable)
    for name in names(context):
        unit = known_unit(context, name)
        if unit.desired_state == target and unit.current_state == target:
            continue
        _set_target(context, name, target)
        if tables.is_global(unit):
            print(f"Triggered global unit {name} {verb}")
        elif context.arguments.no_block:
            print(f"Triggered unit {name} {verb}")
        else:
            waiting.append(name)
    for name in waiting:
        _wait_for_state(context, name, target)
    return _wait_until_active(context, waiting) if target is UnitTarget.LAUNCHED else 0


def _lower_to(context: Context, target: UnitTarget, verb: str, done: str) -> int:
    chosen = names(context)
    waiting = []
    for name in chosen:
        unit = known_unit(context, name)
        if (
            target is UnitTarget.LOADED
            and unit.current_state == UnitTarget.INACTIVE
            and not tables.is_global(unit)
        ):
            raise ArgosyError(f"Unable to stop unit {name} in state inactive")
        _set_target(context, name, target)
        if tables.is_global(unit):
            print(f"Triggered global unit {name} {verb}")
        elif context.arguments.no_block:
            print(f"Triggered unit {name} {verb}")
        else:
            waiting.append(name)
    for name in waiting:
        _wait_for_state(context, name, target)
    print(f"Successfully {done} units [{' '.join(chosen)}].", file=sys.stderr)
    return 0


def _set_target(context: Context, name: str, target: UnitTarget) -> None:
    context.client.put_unit(UnitEntity(name, desired_state=target.value))


def _wait_for_state(context: Context, name: str, target: UnitTarget, *, silent: bool = False) -> None:
    unit = UnitEntity(name)
    start_s = taken_s = time.monotonic()
    explained = False

    def reached() -> bool:
        nonlocal unit, explained, taken_s
        unit = known_unit(context, name)
        if unit.current_state == target:
            return True
        now_s = time.monotonic()
        if not unit.machine_id and target is not UnitTarget.INACTIVE and not explained:
            explained = now_s - start_s > _PATIENCE_S and _explain_waiting(context, name)
        if target is UnitTarget.LAUNCHED:
            refusal = _refusal(context, unit)
            if refusal is None:
                taken_s = now_s
            elif now_s - taken_s > _PATIENCE_S:
                raise refusal
        return False

    _wait(context, reached, f"{name} to be {target}")
    where = f" on {context.legend(unit.machine_id)}" if unit.machine_id else ""
    if not silent:
        print(f"Unit {name} {unit.current_state}{where}", flush=True)


def _refusal(context: Context, unit: UnitEntity) -> ArgosyError | None:
    """That systemd does not take a unit; it may yet, when another unit that it needs has arrived."""
    state = context.client.state(unit.name) if unit.machine_id else None
    if state is None or not state.refusal or state.hash != unit_hash(unit.options):
        return None
    return ArgosyError(
        f"systemd on {context.legend(state.machine_id)} refuses {unit.name}: {state.refusal}",
        hint=f"`fleetctl journal {unit.name}` may say more; fleet goes on trying until you stop the unit",
    )


def _explain_waiting(context: Context, name: str) -> bool:
    """Say why a unit does not get a machine, to somebody who waits for it."""
    explanation = context.client.why(name)
    if explanation is None or any(verdict.able for verdict in explanation.machines):
        return False
    reasons = "; ".join(
        f"{tables.machine_legend(item.machine_id, '')} {item.reason}" for item in explanation.machines
    )
    print(f"{name} waits for a machine: {reasons or 'there are no machines'}", file=sys.stderr, flush=True)
    return True


def _wait_until_active(context: Context, started: Sequence[str]) -> int:
    """Wait until systemd has started the units; 1 if one failed."""
    failed = 0
    for name in started:
        seen: list[str] = []

        def settled(name: str = name, seen: list[str] = seen) -> bool:
            state = context.client.state(name)
            seen.append(state.active_state if state else "")
            # One that is inactive twice in a row was started and has ended already.
            return seen[-1] in ("active", "reloading", "failed") or seen[-2:] == ["inactive", "inactive"]

        _wait(context, settled, f"{name} to be active")
        if seen[-1] == "failed":
            failed = 1
            print(f"Unit {name} has failed: see `fleetctl journal {name}`", file=sys.stderr)
    return failed


def _wait(context: Context, condition: Callable[[], bool], what: str) -> None:
    attempts = context.arguments.block_attempts
    deadline_s = time.monotonic() + attempts * _ATTEMPT_S if attempts > 0 else float("inf")
    while not condition():
        if time.monotonic() > deadline_s:
            raise ArgosyError(f"timed out waiting for {what}")
        time.sleep(_POLL_S)
