"""The commands that only look: lists of units, cat, status, journal, why, ssh, verify, version."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from argosy.base import cli
from argosy.base.errors import ArgosyError, InputError
from argosy.formats.fleet import VERSION, UnitTarget
from argosy.formats.unit import parse_name, serialize
from argosy.node.fleet.ctl import tables
from argosy.node.fleet.ctl.changes import read_unit
from argosy.node.fleet.ctl.context import Context, known_unit, names, unit_name
from argosy.node.fleet.ctl.remote import forward_standard_streams


def list_units(context: Context) -> int:
    """Print the units' states."""
    states = context.client.states()
    return _list(context.arguments, states, tables.state_columns(context.addresses()))


def list_unit_files(context: Context) -> int:
    """Print the submitted units."""
    units = context.client.units()
    return _list(context.arguments, units, tables.unit_columns(context.addresses()))


def _list(arguments: argparse.Namespace, items: Sequence[object], columns: object) -> int:
    if arguments.json:
        cli.print_json(items)
        return 0
    text = tables.listing(
        items,
        columns,  # type: ignore[arg-type]
        arguments.fields,
        full=arguments.full,
        legend=not arguments.no_legend,
    )
    print(text, end="")
    return 0


def cat(context: Context) -> int:
    """Print a unit as it was submitted."""
    print(serialize(known_unit(context, unit_name(context.arguments.unit)).options), end="")
    return 0


def status(context: Context) -> int:
    """Print what the units' machines say."""
    for index, name in enumerate(names(context)):
        if index:
            print(flush=True)
        code = context.run_on(_place(context, name), ["systemctl", "status", "-l", name])
        if code:
            return code
    return 0


def journal(context: Context) -> int:
    """Print a unit's journal."""
    arguments = context.arguments
    name = unit_name(arguments.unit)
    words = [
        "journalctl",
        "--unit",
        name,
        "--no-pager",
        "-n",
        str(arguments.lines),
        "--output",
        arguments.output,
    ]
    words = (["sudo"] if arguments.sudo else []) + words + (["-f"] if arguments.follow else [])
    return context.run_on(_place(context, name), words)


def why(context: Context) -> int:
    """Explain where a unit is."""
    name = unit_name(context.arguments.unit)
    explanation = context.client.why(name)
    if explanation is None:
        raise ArgosyError(f"Unit {name} not found")
    if context.arguments.json:
        cli.print_json(explanation)
        return 0
    print(f"{name}: {explanation.reason}")
    for machine_id, refusal in sorted(explanation.refusals.items()):
        print(f"  systemd on {context.legend(machine_id)} refuses it: {refusal}")
    rows = [
        [f"  {context.legend(item.machine_id)}", "yes" if item.able else "no", item.reason]
        for item in explanation.machines
    ]
    print(tables.table(rows), end="")
    return 0


def ssh(context: Context) -> int:
    """Open a shell, or run a command, on a machine or where a unit is."""
    from argosy.base.run import replace_process

    arguments = context.arguments
    words = list(arguments.words)
    if arguments.machine:
        machine_id = _machine(context, arguments.machine)
    elif arguments.unit:
        machine_id = _place(context, unit_name(arguments.unit))
    else:
        if not words:
            raise InputError("one machine or unit must be provided")
        machine_id = _machine_or_place(context, words.pop(0))
    if words[:1] == ["--"]:
        words.pop(0)
    address = context.address(machine_id)
    replace_process(
        context.ssh.command(address, words, port=arguments.ssh_port, forward_agent=arguments.forward_agent)
    )


def verify(context: Context) -> int:
    """Check unit files without submitting them."""
    for argument in context.arguments.units:
        path = Path(argument)
        read_unit(path, parse_name(path.name).full)
        print(f"{argument}: good")
    return 0


def fd_forward(context: Context) -> int:
    """The far end of --tunnel."""
    return forward_standard_streams(context.arguments.socket)


def version(context: Context) -> int:
    """Print the version."""
    print(f"fleetctl version {VERSION}")
    return 0


def _place(context: Context, name: str) -> str:
    unit = known_unit(context, name)
    if tables.is_global(unit):
        raise ArgosyError(
            f"{name} is global: it is on many machines", hint="name one: fleetctl ssh MACHINE ..."
        )
    if unit.current_state == UnitTarget.INACTIVE:
        raise ArgosyError(f"Unit {name} does not appear to be loaded.")
    return unit.machine_id


def _machine(context: Context, text: str) -> str:
    found = [machine_id for machine_id in context.addresses() if machine_id.startswith(text)]
    if len(found) != 1:
        problem = "is ambiguous" if found else "is no machine of the cluster"
        raise ArgosyError(f"`{text}` {problem}", hint="see `fleetctl list-machines --full`")
    return found[0]


def _machine_or_place(context: Context, text: str) -> str:
    if any(machine_id.startswith(text) for machine_id in context.addresses()):
        return _machine(context, text)
    return _place(context, unit_name(text))
