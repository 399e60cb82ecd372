"""The part of the API that the original knows nothing of, under `/argosy/v1/`.

    GET    machines                    all machines: open, cordoned, draining or drained
    GET    machines/ID                 one
    PUT    machines/ID/cordons/BY      cordon it, or have it drained, in somebody's name (CordonEntity)
    DELETE machines/ID/cordons/BY      undo that; `*` for BY undoes what anybody said

Each answer but a 204 is about the moment after the change: an answer that says that nothing is left to move
is true.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from argosy.base.errors import InputError
from argosy.base.http import Request, Response
from argosy.formats.cordon import CordonEntity, StandingList
from argosy.node.fleet.drains import Drains
from argosy.node.fleet.replies import RefusedError, decoded_body, json_reply

_PREFIX = "/argosy/v1/"
_BY = re.compile(r"[a-z][a-z0-9-]{0,31}")
_EVERYBODY = "*"

Handler = Callable[[Request, str, str], Awaitable[Response]]


class DrainApi:
    """Answers requests about cordons and drains."""

    def __init__(self, drains: Drains) -> None:
        self._drains = drains

    def concerns(self, path: str) -> bool:
        """Whether a request is for this part."""
        return path.startswith(_PREFIX)

    async def handle(self, request: Request) -> Response:
        """Answer one request. Raises `RefusedError`, `EtcdError`."""
        match request.path.removeprefix(_PREFIX).split("/"):
            case ["machines"]:
                handlers: dict[str, Handler] = {"GET": self._list}
                words = ("", "")
            case ["machines", machine_id] if machine_id:
                handlers, words = {"GET": self._get}, (machine_id, "")
            case ["machines", machine_id, "cordons", by] if machine_id and by:
                handlers, words = {"PUT": self._cordon, "DELETE": self._uncordon}, (machine_id, by)
            case _:
                raise RefusedError(404)
        if request.method not in handlers:
            raise RefusedError(405, f"only {', '.join(handlers)} supported against this resource")
        return await handlers[request.method](request, *words)

    async def _list(self, request: Request, machine_id: str, by: str) -> Response:
        return json_reply(StandingList(await self._drains.standings()))

    async def _get(self, request: Request, machine_id: str, by: str) -> Response:
        return await self._standing(machine_id)

    async def _cordon(self, request: Request, machine_id: str, by: str) -> Response:
        if not _BY.fullmatch(by):
            raise InputError(f"`{by}` names nobody", hint="small letters, digits and hyphens")
        if not await self._drains.cordon(machine_id, by, decoded_body(request.body, CordonEntity)):
            raise RefusedError(404, "machine does not exist")
        return await self._standing(machine_id)

    async def _uncordon(self, request: Request, machine_id: str, by: str) -> Response:
        if not await self._drains.uncordon(machine_id, None if by == _EVERYBODY else by):
            raise RefusedError(404, "machine does not exist")
        return await self._standing(machine_id)

    async def _standing(self, machine_id: str) -> Response:
        for standing in await self._drains.standings(machine_id):
            return json_reply(standing)
        raise RefusedError(404, "machine does not exist")
