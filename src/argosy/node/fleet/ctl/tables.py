"""fleetctl's lists: which columns there are, what is in them, and how they are aligned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from argosy.base.errors import InputError
from argosy.formats.cordon import CordonEntity, MachineStanding, Standing
from argosy.formats.fleet import MachineEntity, UnitEntity, UnitStateEntity
from argosy.formats.requirements import SECTION
from argosy.formats.unit import unit_hash
from argosy.node.fleet.model import short_id

T = TypeVar("T")

_TAB_CHARACTERS = 8
_SHORT_HASH_CHARACTERS = 7

MACHINE_FIELDS = "machine,ip,metadata"
"""The columns of list-machines that the original shows."""


class MachineRow(msgspec.Struct, omit_defaults=True, rename={"primary_ip": "primaryIP"}):
    """v1's machine, and beside that how it stands."""

    id: str
    primary_ip: str = ""
    metadata: dict[str, str] = {}
    standing: Standing = Standing.OPEN
    cordons: list[CordonEntity] = []


Column = Callable[[T, bool], str]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows with columns aligned by tabs, as the original prints them (Go's tabwriter: 8 wide, 1 apart)."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))] if rows else []
    lines = []
    for row in rows:
        line = ""
        for text, width in zip(row[:-1], widths, strict=False):
            cell = -(-(width + 1) // _TAB_CHARACTERS) * _TAB_CHARACTERS
            line += text + "\t" * -(-(cell - len(text)) // _TAB_CHARACTERS)
        lines.append(line + row[-1] + "\n")
    return "".join(lines)


def listing(
    items: Sequence[T], columns: Mapping[str, Column[T]], fields: str, *, full: bool, legend: bool
) -> str:
    """A list with the columns that `fields` names, separated by commas. Raises `InputError`."""
    names = fields.split(",")
    for name in names:
        if name not in columns:
            raise InputError(f"there is no column `{name}`", hint="columns: " + ", ".join(sorted(columns)))
    rows = [[name.upper() for name in names]] if legend else []
    rows += [[columns[name](item, full) or "-" for name in names] for item in items]
    return table(rows)


def machine_legend(machine_id: str, address: str, *, full: bool = False) -> str:
    """How a machine is shown: `ab12cd34.../172.17.8.101`."""
    legend = machine_id if full else f"{short_id(machine_id)}..."
    return f"{legend}/{address}" if address else legend


def is_global(unit: UnitEntity) -> bool:
    """Whether a unit runs on every machine."""
    values = [
        option.value for option in unit.options if option.section == SECTION and option.name == "Global"
    ]
    return bool(values) and values[-1].lower() in ("true", "yes", "1", "on", "t")


def machine_columns(
    standings: Mapping[str, MachineStanding] = {},
) -> Mapping[str, Column[MachineEntity]]:
    """The columns of list-machines."""

    def state(machine: MachineEntity, full: bool) -> str:
        standing = standings.get(machine.id)
        return standing_in_words(standing) if standing is not None else ""

    return {
        "state": state,
        "machine": lambda machine, full: machine.id if full else f"{short_id(machine.id)}...",
        "ip": lambda machine, full: machine.primary_ip,
        "metadata": lambda machine, full: ",".join(
            f"{key}={value}" for key, value in sorted(machine.metadata.items())
        ),
    }


def standing_in_words(standing: MachineStanding) -> str:
    """`draining for locksmith (it is about to reboot)`; empty for a machine that takes units."""
    if standing.standing is Standing.OPEN:
        return ""
    whose = ", ".join(
        f"{cordon.by} ({cordon.reason})" if cordon.reason else cordon.by for cordon in standing.cordons
    )
    return f"{standing.standing} for {whose}"


def machine_row(machine: MachineEntity, standing: MachineStanding | None) -> MachineRow:
    """A machine as `list-machines --json` prints it."""
    known = standing or MachineStanding(machine.id, Standing.OPEN)
    return MachineRow(machine.id, machine.primary_ip, machine.metadata, known.standing, known.cordons)


def state_columns(addresses: Mapping[str, str]) -> Mapping[str, Column[UnitStateEntity]]:
    """The columns of list-units; `addresses` has the address of each machine."""
    return {
        "unit": lambda state, full: state.name,
        "load": lambda state, full: state.load_state,
        "active": lambda state, full: state.active_state,
        "sub": lambda state, full: state.sub_state,
        "machine": lambda state, full: _machine(state.machine_id, addresses, full),
        "hash": lambda state, full: state.hash if full else state.hash[:_SHORT_HASH_CHARACTERS],
    }


def unit_columns(addresses: Mapping[str, str]) -> Mapping[str, Column[UnitEntity]]:
    """The columns of list-unit-files; `addresses` has the address of each machine."""

    def target(unit: UnitEntity, full: bool) -> str:
        return "global" if is_global(unit) else _machine(unit.machine_id, addresses, full)

    def content_hash(unit: UnitEntity, full: bool) -> str:
        found = unit_hash(unit.options)
        return found if full else found[:_SHORT_HASH_CHARACTERS]

    def description(unit: UnitEntity, full: bool) -> str:
        found = (
            option.value
            for option in unit.options
            if (option.section, option.name) == ("Unit", "Description")
        )
        return next(found, "")

    return {
        "unit": lambda unit, full: unit.name,
        "global": lambda unit, full: str(is_global(unit)).lower(),
        "dstate": lambda unit, full: unit.desired_state,
        "state": lambda unit, full: unit.current_state,
        "target": target,
        "tmachine": target,
        "hash": content_hash,
        "desc": description,
    }


def _machine(machine_id: str, addresses: Mapping[str, str], full: bool) -> str:
    return machine_legend(machine_id, addresses.get(machine_id, ""), full=full) if machine_id else ""
