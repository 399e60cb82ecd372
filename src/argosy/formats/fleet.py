"""What fleet says on the wire and in etcd: the API's entities, page tokens, and the values of etcd's keys.

The API is fleet's v1; names of fields are its own. etcd's keys are listed in node/fleet/registry.py.
"""

from __future__ import annotations

import base64
import binascii
import struct
from enum import StrEnum

import msgspec

from argosy.base.errors import InputError
from argosy.formats.unit import Option

VERSION = "1.0.0+argosy"
"""The version of fleet that we are compatible with, and that it is not the original."""


class UnitTarget(StrEnum):
    """How far a unit is, or is to be: known, on a machine but stopped, or started."""

    INACTIVE = "inactive"
    LOADED = "loaded"
    LAUNCHED = "launched"


class MachineEntity(msgspec.Struct, omit_defaults=True, rename={"primary_ip": "primaryIP"}):
    """A machine of the cluster."""

    id: str
    primary_ip: str = ""
    metadata: dict[str, str] = {}


class UnitEntity(
    msgspec.Struct,
    omit_defaults=True,
    rename={"desired_state": "desiredState", "current_state": "currentState", "machine_id": "machineID"},
):
    """A unit that was submitted. `machine_id` is where it is scheduled."""

    name: str = ""
    options: list[Option] = []
    desired_state: str = ""
    current_state: str = ""
    machine_id: str = ""


class UnitStateEntity(
    msgspec.Struct,
    omit_defaults=True,
    rename={
        "machine_id": "machineID",
        "load_state": "systemdLoadState",
        "active_state": "systemdActiveState",
        "sub_state": "systemdSubState",
    },
):
    """What systemd on one machine says about a unit.

    `refusal` is an addition to the original API: why systemd does not take the unit, in its own words.
    """

    name: str
    hash: str = ""
    machine_id: str = ""
    load_state: str = ""
    active_state: str = ""
    sub_state: str = ""
    refusal: str = ""


class MachinePage(msgspec.Struct, omit_defaults=True, rename="camel"):
    """Part of all machines."""

    machines: list[MachineEntity] = []
    next_page_token: str = ""


class UnitPage(msgspec.Struct, omit_defaults=True, rename="camel"):
    """Part of all units."""

    units: list[UnitEntity] = []
    next_page_token: str = ""


class StatePage(msgspec.Struct, omit_defaults=True, rename="camel"):
    """Part of all states."""

    states: list[UnitStateEntity] = []
    next_page_token: str = ""


class Verdict(msgspec.Struct, rename={"machine_id": "machineID"}):
    """Whether one machine can run a unit, and why."""

    machine_id: str
    able: bool
    reason: str


class Explanation(msgspec.Struct, rename={"machine_id": "machineID"}):
    """Why a unit is where it is, or nowhere. An addition to the original API.

    `refusals` has, by machine, why systemd there does not take the unit.
    """

    name: str
    machine_id: str
    reason: str
    machines: list[Verdict]
    refusals: dict[str, str] = {}


class PatchOperation(msgspec.Struct):
    """One step of a JSON Patch on machines' metadata.

    The value is a text, as the original's documents say, or an object with the text under "value", as its
    code has it.
    """

    op: str
    path: str
    value: str | dict[str, str] | None = None

    def text(self) -> str:
        """The value, however it was written; empty if there is none."""
        return (self.value.get("value", "") if isinstance(self.value, dict) else self.value) or ""


class ErrorBody(msgspec.Struct, omit_defaults=True):
    """What went wrong."""

    code: int
    message: str = ""


class ErrorReply(msgspec.Struct):
    """The body of every answer with a status from 400."""

    error: ErrorBody


class MachineRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A machine that is in the cluster, as long as its lease lives; `boot` is the kernel's id of its boot."""

    public_ip: str = ""
    metadata: dict[str, str] = {}
    version: str = ""
    boot: str = ""


class JobRecord(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A submitted unit: which content it has and how far it is to be."""

    hash: str
    target: UnitTarget = UnitTarget.INACTIVE
    is_global: bool = False


class ScheduleRecord(msgspec.Struct, frozen=True, gc=False):
    """Where a unit is to run, and why there."""

    machine_id: str
    reason: str


class StateRecord(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """How a unit is on one machine, as long as that machine's lease lives."""

    hash: str
    load: str
    active: str
    sub: str
    state: UnitTarget
    refusal: str = ""


class UnitRecord(msgspec.Struct, frozen=True):
    """A unit's content."""

    options: list[Option]


def encode_page_token(limit: int, page: int) -> str:
    """The token for page `page` (from 1) of pages of `limit` items: two little-endian 16-bit numbers."""
    return base64.urlsafe_b64encode(struct.pack("<HH", limit, page)).decode()


def decode_page_token(token: str, limit: int) -> int:
    """The page that a token stands for. Raises `InputError` if it is not one of ours."""
    try:
        found, page = struct.unpack("<HH", base64.urlsafe_b64decode(token))
    except (binascii.Error, ValueError, struct.error) as error:
        raise InputError(f"`{token}` is not a page token") from error
    if found != limit:
        raise InputError(f"token limit must be {limit}")
    if page == 0:
        raise InputError("token page must be greater than zero")
    return int(page)
