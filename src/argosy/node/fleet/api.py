"""fleet's HTTP API as the original's clients use it: v1 (`/fleet/v1`) and its older name (`/v1-alpha`).

Beyond the original: `GET /fleet/v1/why/UNIT` explains the scheduling of a unit, an etcd that does not answer
is a 503, and drainapi.py has what the original knows nothing of, under a prefix of its own.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from argosy.base.errors import ArgosyError, InputError
from argosy.base.etcd import EtcdError
from argosy.base.http import Request, Response
from argosy.formats.fleet import (
    Explanation,
    MachinePage,
    PatchOperation,
    StatePage,
    UnitEntity,
    UnitPage,
    UnitTarget,
    decode_page_token,
    encode_page_token,
)
from argosy.formats.requirements import requirements
from argosy.formats.unit import Option, UnitName, parse_name, parse_unit, serialize, unit_hash
from argosy.node.fleet.drainapi import DrainApi
from argosy.node.fleet.registry import Registry
from argosy.node.fleet.replies import JSON, NO_BODY, RefusedError, decoded_body, error_reply, json_reply

T = TypeVar("T")

_PREFIXES = ("/fleet/v1", "/v1-alpha")
_METADATA_PATH = re.compile(r"/([^/]+)/metadata/([A-Za-z0-9_.-]+)")

Explain = Callable[[str], Awaitable[Explanation | None]]
Metrics = Callable[[], str]


class Api:
    """Answers requests from the registry."""

    def __init__(
        self,
        registry: Registry,
        explain: Explain,
        metrics: Metrics,
        drains: DrainApi,
        *,
        page_size: int = 100,
    ) -> None:
        self._registry = registry
        self._explain = explain
        self._metrics = metrics
        self._drains = drains
        self._page_size = page_size

    async def handle(self, request: Request) -> Response:
        """Answer one request."""
        try:
            return await self._route(request)
        except RefusedError as refusal:
            return error_reply(refusal.status, refusal.message)
        except InputError as error:
            return error_reply(400, str(error))
        except EtcdError as error:
            return error_reply(503, str(error))
        except ArgosyError as error:
            return error_reply(500, str(error))

    async def _route(self, request: Request) -> Response:
        if request.path == "/metrics":
            text = (("content-type", "text/plain; version=0.0.4"),)
            return Response(200, text, self._metrics().encode())
        if self._drains.concerns(request.path):
            return await self._drains.handle(request)
        prefix = next((item for item in _PREFIXES if request.path.startswith(f"{item}/")), None)
        if prefix is None:
            raise RefusedError(405 if request.path in ("/", *_PREFIXES) else 404)
        resource, slash, item = request.path.removeprefix(f"{prefix}/").partition("/")
        if "/" in item or (slash and not item):
            raise RefusedError(404)
        handlers = self._item_handlers() if item else self._collection_handlers()
        if resource not in handlers:
            raise RefusedError(404)
        methods = handlers[resource]
        if request.method not in methods:
            raise RefusedError(405, f"only {', '.join(methods)} supported against this resource")
        return await methods[request.method](request, item)

    def _collection_handlers(self) -> dict[str, dict[str, Callable[[Request, str], Awaitable[Response]]]]:
        return {
            "units": {"GET": self._list_units},
            "machines": {"GET": self._list_machines, "PATCH": self._patch_machines},
            "state": {"GET": self._list_states},
            "discovery": {"GET": self._discovery},
        }

    def _item_handlers(self) -> dict[str, dict[str, Callable[[Request, str], Awaitable[Response]]]]:
        return {
            "units": {"GET": self._get_unit, "PUT": self._put_unit, "DELETE": self._delete_unit},
            "state": {"GET": self._get_state},
            "why": {"GET": self._get_why},
        }

    async def _discovery(self, request: Request, item: str) -> Response:
        from argosy.node.fleet.discovery import document

        return Response(200, JSON, document())

    # Units.

    async def _list_units(self, request: Request, item: str) -> Response:
        names, token = self._page(await self._registry.unit_names(), request)
        return json_reply(UnitPage(await self._registry.units(names), token))

    async def _get_unit(self, request: Request, name: str) -> Response:
        unit = await self._registry.unit(name)
        if unit is None:
            raise RefusedError(404, "unit does not exist")
        return json_reply(unit)

    async def _delete_unit(self, request: Request, name: str) -> Response:
        if not await self._registry.destroy(name):
            raise RefusedError(404, "unit does not exist")
        return Response(204, NO_BODY)

    async def _put_unit(self, request: Request, name: str) -> Response:
        kind = (request.header("content-type") or "").partition(";")[0].strip()
        if kind != "application/json":
            raise RefusedError(415, "only acceptable Content-Type is application/json")
        wanted = decoded_body(request.body, UnitEntity)
        if wanted.name not in ("", name):
            message = f'name in URL "{name}" differs from unit name in request body "{wanted.name}"'
            raise RefusedError(400, message)
        parsed = parse_name(name)
        target = _target(wanted.desired_state, parsed)
        known = await self._registry.unit(name)
        if wanted.options and (known is None or unit_hash(known.options) != unit_hash(wanted.options)):
            is_global = check_options(parsed, wanted.options)
            target = target or UnitTarget.INACTIVE
            await self._registry.submit(name, wanted.options, target, is_global=is_global)
            return Response(201, NO_BODY)
        if known is None:
            raise RefusedError(409, "unit does not exist and options field empty")
        if target is None:
            raise RefusedError(409, "must provide DesiredState to update existing unit")
        if not await self._registry.set_target(name, target):
            raise RefusedError(409, "unit does not exist and options field empty")
        return Response(204, NO_BODY)

    # Machines.

    async def _list_machines(self, request: Request, item: str) -> Response:
        machines, token = self._page(await self._registry.machines(), request)
        return json_reply(MachinePage(list(machines), token))

    async def _patch_machines(self, request: Request, item: str) -> Response:
        operations = decoded_body(request.body, list[PatchOperation])
        await self._registry.set_metadata([_metadata_change(operation) for operation in operations])
        return Response(204, NO_BODY)

    # States.

    async def _list_states(self, request: Request, item: str) -> Response:
        unit, machine_id = _one(request, "unitName"), _one(request, "machineID")
        keys = [
            key
            for key in await self._registry.state_keys()
            if unit in ("", key[0]) and machine_id in ("", key[1])
        ]
        page, token = self._page(keys, request)
        return json_reply(StatePage(await self._registry.states(page), token))

    async def _get_state(self, request: Request, name: str) -> Response:
        found = await self._registry.states_of(name)
        if not found:
            raise RefusedError(404, "unit state does not exist")
        unit = await self._registry.unit(name)
        scheduled = [state for state in found if unit is not None and state.machine_id == unit.machine_id]
        return json_reply((scheduled or found)[0])

    async def _get_why(self, request: Request, name: str) -> Response:
        explanation = await self._explain(name)
        if explanation is None:
            raise RefusedError(404, "unit does not exist")
        return json_reply(explanation)

    def _page(self, items: Sequence[T], request: Request) -> tuple[Sequence[T], str]:
        """The part of `items` that a request asks for, and the token of the next part."""
        tokens = request.query.get("nextPageToken", ())
        if len(tokens) > 1:
            raise InputError("too many values for page token")
        page = decode_page_token(tokens[0], self._page_size) if tokens else 1
        end = page * self._page_size
        return items[end - self._page_size : end], (
            encode_page_token(self._page_size, page + 1) if end < len(items) else ""
        )


def check_options(name: UnitName, options: Sequence[Option]) -> bool:
    """Check a unit's content as a whole, and return whether it is global. Raises `InputError`."""
    text = serialize(options)
    read = parse_unit(text, source=name.full)
    if serialize(read.options) != text or len(read.options) != len(options):
        raise InputError(f"{name.full}: an option is not one line of a unit file")
    return requirements(name, read.options, file=read).is_global


def _target(text: str, name: UnitName) -> UnitTarget | None:
    if not text:
        return None
    try:
        target = UnitTarget(text)
    except ValueError as error:
        raise RefusedError(400, f'invalid value "{text}" for desiredState') from error
    if name.is_template and target is not UnitTarget.INACTIVE:
        raise RefusedError(400, f'cannot activate template "{name.full}"')
    return target


def _metadata_change(operation: PatchOperation) -> tuple[str, str, str]:
    if operation.op not in ("add", "remove", "replace"):
        raise InputError("invalid op: expect add, remove, or replace")
    match = _METADATA_PATH.fullmatch(operation.path)
    if match is None:
        raise InputError("machine metadata path invalid")
    if operation.op == "remove":
        return match[1], match[2], ""
    if not operation.text():
        raise InputError("invalid value: add and replace require a value")
    return match[1], match[2], operation.text()


def _one(request: Request, name: str) -> str:
    return next(iter(request.query.get(name, ())), "")
