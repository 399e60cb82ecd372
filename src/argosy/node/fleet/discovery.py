"""The description of the API for generators of clients (Google API discovery, version 1)."""

from __future__ import annotations

import json
from typing import Any

_STRING = {"type": "string"}
_STATES = {"type": "string", "enum": ["inactive", "loaded", "launched"]}


def _object(name: str, /, **properties: Any) -> dict[str, Any]:
    return {"id": name, "type": "object", "properties": properties}


def _page(name: str, /, field: str, item: str) -> dict[str, Any]:
    return _object(name, **{field: {"type": "array", "items": {"$ref": item}}, "nextPageToken": _STRING})


def _method(resource: str, verb: str, http: str, **more: Any) -> dict[str, Any]:
    in_path = {"unitName": {"type": "string", "location": "path", "required": True}}
    of_item = http in ("PUT", "DELETE") or verb == "Get"
    return {
        "id": f"fleet.{resource}.{verb}",
        "httpMethod": http,
        "path": {"Unit": "units", "Machine": "machines", "UnitState": "state"}[resource]
        + ("/{unitName}" if of_item else ""),
        **({"parameters": in_path, "parameterOrder": ["unitName"]} if of_item else {}),
        **more,
    }


def _list_method(resource: str, page: str, *filters: str) -> dict[str, Any]:
    names = ("nextPageToken", *filters)
    parameters = {name: {"type": "string", "location": "query"} for name in names}
    return _method(resource, "List", "GET", parameters=parameters, response={"$ref": page})


_API: dict[str, Any] = {
    "kind": "discovery#restDescription",
    "discoveryVersion": "v1",
    "id": "fleet:v1",
    "name": "schema",
    "version": "v1",
    "title": "fleet API",
    "description": "",
    "protocol": "rest",
    "baseUrl": "$ENDPOINT/fleet/v1/",
    "basePath": "/fleet/v1/",
    "rootUrl": "$ENDPOINT/",
    "servicePath": "fleet/v1/",
    "batchPath": "batch",
    "parameters": {},
    "auth": {},
}

_SCHEMAS: dict[str, Any] = {
    "Machine": _object(
        "Machine",
        id=_STRING,
        primaryIP=_STRING,
        metadata={"type": "object", "additionalProperties": _STRING},
    ),
    "MachinePage": _page("MachinePage", "machines", "Machine"),
    "UnitOption": _object("UnitOption", section=_STRING, name=_STRING, value=_STRING),
    "Unit": _object(
        "Unit",
        name=_STRING,
        options={"type": "array", "items": {"$ref": "UnitOption"}},
        desiredState=_STATES,
        currentState=_STATES,
        machineID={"type": "string", "required": True},
    ),
    "UnitPage": _page("UnitPage", "units", "Unit"),
    "UnitState": _object(
        "UnitState",
        name=_STRING,
        hash=_STRING,
        machineID=_STRING,
        systemdLoadState=_STRING,
        systemdActiveState=_STRING,
        systemdSubState=_STRING,
    ),
    "UnitStatePage": _page("UnitStatePage", "states", "UnitState"),
}

_RESOURCES: dict[str, Any] = {
    "Machines": {"methods": {"List": _list_method("Machine", "MachinePage")}},
    "Units": {
        "methods": {
            "List": _list_method("Unit", "UnitPage"),
            "Get": _method("Unit", "Get", "GET", response={"$ref": "Unit"}),
            "Delete": _method("Unit", "Delete", "DELETE"),
            "Set": _method("Unit", "Set", "PUT", request={"$ref": "Unit"}),
        }
    },
    "UnitState": {"methods": {"List": _list_method("UnitState", "UnitStatePage", "machineID", "unitName")}},
}


def document() -> bytes:
    """The document, as it is sent."""
    return json.dumps({**_API, "schemas": _SCHEMAS, "resources": _RESOURCES}).encode()
