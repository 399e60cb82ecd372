"""The commands about machines: list-machines, cordon, uncordon, drain."""

from __future__ import annotations

import sys
import time

from argosy.base import cli
from argosy.base.errors import ArgosyError
from argosy.formats.cordon import CordonEntity, Leaving, MachineStanding, Standing, Step
from argosy.formats.duration import spoken
from argosy.node.fleet.ctl import tables
from argosy.node.fleet.ctl.context import Context

BY = "person"
"""In whose name a person at fleetctl cordons."""

_POLL_S = 0.5


def list_machines(context: Context) -> int:
    """Print the machines, and which of them take no new units, if there are any."""
    arguments = context.arguments
    machines = context.client.machines()
    standings = {standing.id: standing for standing in context.client.standings() or ()}
    if arguments.json:
        cli.print_json([tables.machine_row(machine, standings.get(machine.id)) for machine in machines])
        return 0
    fields = arguments.fields
    if fields == tables.MACHINE_FIELDS and any(map(_is_closed, standings.values())):
        fields += ",state"
    columns = tables.machine_columns(standings)
    print(
        tables.listing(machines, columns, fields, full=arguments.full, legend=not arguments.no_legend), end=""
    )
    return 0


def _is_closed(standing: MachineStanding) -> bool:
    return standing.present and standing.standing is not Standing.OPEN


def cordon(context: Context) -> int:
    """Keep new units from machines."""
    for standing in _chosen(context):
        _cordon(context, standing, drain=False)
        print(f"Machine {_legend(standing)} takes no new units")
    return 0


def uncordon(context: Context) -> int:
    """Let machines take units again, whoever kept them from it."""
    for standing in _chosen(context):
        if not standing.cordons:
            print(f"Machine {_legend(standing)} takes units already")
            continue
        context.client.uncordon(standing.id)
        whose = sorted(cordon.by for cordon in standing.cordons if cordon.by != BY)
        also = f" (the cordon of {', '.join(whose)} is undone, too)" if whose else ""
        print(f"Machine {_legend(standing)} takes units again{also}")
    return 0


def drain(context: Context) -> int:
    """Move machines' units to others, and wait until they run there; 1 if that takes too long."""
    arguments = context.arguments
    deadline_s = time.monotonic() + arguments.timeout
    code = 0
    for standing in _chosen(context):
        begun = _cordon(context, standing, drain=True)
        if arguments.no_block:
            print(f"Machine {_legend(standing)} drains")
        else:
            code = max(code, _wait(context, begun, deadline_s))
    return code


def _cordon(context: Context, standing: MachineStanding, *, drain: bool) -> MachineStanding:
    arguments = context.arguments
    if arguments.until_reboot and not standing.boot:
        raise ArgosyError(f"machine {_legend(standing)} does not say in which boot it is")
    boot = standing.boot if arguments.until_reboot else ""
    return context.client.cordon(standing.id, BY, CordonEntity(BY, drain, arguments.reason, boot))


def _wait(context: Context, standing: MachineStanding, deadline_s: float) -> int:
    """Tell each step of each unit once, until none is left that can move."""
    told: dict[str, tuple[Step, str]] = {}
    start_s = time.monotonic()
    while True:
        if not standing.cordons:
            raise ArgosyError(f"somebody has uncordoned machine {_legend(standing)}")
        for unit in standing.leaving:
            if told.get(unit.unit) != (unit.step, unit.reason):
                told[unit.unit] = (unit.step, unit.reason)
                print(_told(context, unit), flush=True)
        going = [unit.unit for unit in standing.leaving if unit.step is not Step.STAYS]
        if not going:
            return _done(standing, time.monotonic() - start_s)
        if time.monotonic() > deadline_s:
            message = f"these units still run on {_legend(standing)}: {', '.join(going)}"
            raise ArgosyError(message, hint="it goes on draining; `fleetctl uncordon` calls it off")
        time.sleep(_POLL_S)
        standing = context.client.standing(standing.id) or standing


def _told(context: Context, unit: Leaving) -> str:
    where = f" to {context.legend(unit.machine_id)}" if unit.machine_id and unit.step is Step.MOVES else ""
    return f"Unit {unit.unit} {unit.step}{where}: {unit.reason}"


def _done(standing: MachineStanding, took_s: float) -> int:
    if standing.leaving:
        count = len(standing.leaving)
        print(
            f"{count} unit{'' if count == 1 else 's'} cannot run elsewhere, and will stop with the machine",
            file=sys.stderr,
        )
    print(f"Machine {_legend(standing)} is drained, after {spoken(took_s)}")
    return 0


def _legend(standing: MachineStanding) -> str:
    return tables.machine_legend(standing.id, standing.primary_ip)


def _chosen(context: Context) -> list[MachineStanding]:
    """The machines that the command names, by id, its beginning, or address. Raises `ArgosyError`."""
    standings = context.client.standings()
    if standings is None:
        raise ArgosyError(
            "this fleetd knows nothing of cordons", hint="its version is older than this fleetctl's"
        )
    return [_one(standings, text) for text in context.arguments.machines]


def _one(standings: list[MachineStanding], text: str) -> MachineStanding:
    found = [each for each in standings if each.id.startswith(text) or each.primary_ip == text]
    if len(found) != 1:
        problem = "is ambiguous" if found else "is no machine of the cluster"
        raise ArgosyError(f"`{text}` {problem}", hint="see `fleetctl list-machines --full`")
    return found[0]
