"""Whether an update may be written: every reason against it at once, before the first write. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from argosy.formats import payload
from argosy.formats.payload import BOOT, INITRD, USR, VMLINUZ, Manifest, PayloadError
from argosy.formats.version import Version
from argosy.node.update.problems import Code, Problem, payload_problem, problem

ESP_RESERVE_BYTES = 1 << 20
STATE_RESERVE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Wishes:
    """What this machine takes. `failed` are versions that did not work here; `retry` takes them."""

    floor: Version
    pin: Version | None = None
    hold: str = ""
    failed: Collection[str] = ()
    retry: bool = False


@dataclass(frozen=True, slots=True)
class Room:
    """The bytes that there are. `esp_bytes` counts what the standby slot's old files will free."""

    slot_bytes: int
    esp_bytes: int
    state_bytes: int


def unwanted(version: Version, wishes: Wishes) -> Iterator[Problem]:
    """Why this machine does not want a version, whatever its payload is like."""
    if wishes.hold:
        yield problem(
            Code.HELD,
            f"updates are held: {wishes.hold}",
            hint="`update_engine_client -unhold` lets them come again",
        )
    if wishes.pin is not None and version != wishes.pin:
        yield problem(
            Code.PINNED,
            f"this machine is pinned to version {wishes.pin}, offered is {version}",
            hint="`update_engine_client -unpin` takes the pin away",
        )
    if str(version) in wishes.failed and not wishes.retry:
        yield problem(
            Code.FAILED_BEFORE,
            f"version {version} failed on this machine before",
            hint="`update_engine_client -update -retry` tries it once more",
        )
    if version < wishes.floor:
        yield payload_problem(
            PayloadError(
                payload.Code.FLOOR,
                f"version {version} is below the floor {wishes.floor}: it is too old to be run again",
            )
        )


def lacking(manifest: Manifest, room: Room) -> Iterator[Problem]:
    """What there is not room for."""
    usr_bytes = manifest.part(USR).size_bytes
    if usr_bytes > room.slot_bytes:
        yield problem(
            Code.SLOT_TOO_SMALL,
            f"/usr of version {manifest.version} has {usr_bytes} bytes, the slot {room.slot_bytes}",
        )
    esp_bytes = sum(manifest.part(name).size_bytes for name in (VMLINUZ, INITRD, BOOT)) + ESP_RESERVE_BYTES
    if esp_bytes > room.esp_bytes:
        yield problem(
            Code.ESP_FULL,
            f"kernel and initrd of version {manifest.version} need {esp_bytes} bytes"
            f" on the EFI system partition, {room.esp_bytes} are free",
            hint="look for files that are not the system's below /boot",
        )
    if room.state_bytes < STATE_RESERVE_BYTES:
        yield problem(
            Code.STATE_FULL,
            f"there are {room.state_bytes} bytes left below /var/lib, {STATE_RESERVE_BYTES} are needed",
            hint="make room on the root file system",
        )


def preflight(manifest: Manifest, wishes: Wishes, room: Room, *, keys: int) -> tuple[Problem, ...]:
    """Every reason against writing this payload. `keys` is how many are trusted."""
    found = [*unwanted(manifest.parsed_version, wishes), *lacking(manifest, room)]
    if not keys:
        found.append(no_key())
    return tuple(found)


def no_key() -> Problem:
    """Without a key nothing can be trusted."""
    return problem(
        Code.NO_KEY,
        "this system has no key to check an update with",
        hint="releases bring their keys below /usr/share/argosy/keys: `argosy build` puts them there",
    )
