"""What a request's query asks for, the same at the REST interface and on the page."""

from __future__ import annotations

from starlette.requests import Request

from argosy.base.decode import convert
from argosy.base.errors import InputError
from argosy.formats.payload import APPLICATION_ID
from argosy.formats.updateapi import MachineDetail, Machines, State
from argosy.server.update.service import UpdateService

EVENTS = 100


def app_of(request: Request) -> str:
    """The application; ours if none is named."""
    return request.query_params.get("app", APPLICATION_ID)


def count_of(request: Request, name: str, most: int) -> int:
    """A number from 1 to `most`, which is the default. Raises `InputError`."""
    text = request.query_params.get(name, str(most))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise InputError(f"`{name}` must be a number from 1 to {most}")
    return int(text)


def state_of(request: Request) -> State | None:
    """The state that machines are to be in. Raises `InputError`."""
    text = request.query_params.get("state")
    return convert(text, State, source="state") if text else None


async def machines_of(service: UpdateService, request: Request, limit: int) -> Machines:
    """One page of the machines that the request asks for. Raises `InputError`."""
    machines = await service.machines(
        app_of(request),
        group=request.query_params.get("group"),
        state=state_of(request),
        after=request.query_params.get("after", ""),
        limit=limit,
    )
    return Machines(machines, machines[-1].id if len(machines) == limit else None)


async def machine_of(service: UpdateService, request: Request) -> MachineDetail:
    """The machine that the request's path names. Raises `NotFoundError`."""
    machine = await service.machine(request.path_params["machine"], app_of(request))
    return MachineDetail(machine, await service.events(app_of(request), machine=machine.id, limit=EVENTS))
