"""Numbers of events and errors, as update_engine uses them, and ours beside them."""

from __future__ import annotations

from enum import IntEnum


class EventType(IntEnum):
    """What a machine tells of."""

    UNKNOWN = 0
    DOWNLOAD_COMPLETE = 1
    INSTALL_COMPLETE = 2
    UPDATE_COMPLETE = 3
    """With SUCCESS: the update is applied; with SUCCESS_REBOOT: it was booted into; with ERROR: it failed."""
    UNINSTALL = 4
    DOWNLOAD_STARTED = 13
    DOWNLOAD_FINISHED = 14


class EventResult(IntEnum):
    ERROR = 0
    SUCCESS = 1
    SUCCESS_REBOOT = 2
    """The machine runs the new version. Ours say so once the version's health probes have passed."""
    CANCELLED = 4
    """Of ours: the machine has dropped an update that was withdrawn."""
    UPDATE_DEFERRED = 9


class ErrorCode(IntEnum):
    """Why an update failed: update_engine's `ActionExitCode` up to 43, ours from 1000, HTTP from 2000."""

    SUCCESS = 0
    ERROR = 1
    OMAHA_REQUEST = 2
    OMAHA_RESPONSE_HANDLER = 3
    FILESYSTEM_COPIER = 4
    POSTINSTALL = 5
    SET_BOOTABLE = 6
    INSTALL_DEVICE_OPEN = 7
    KERNEL_DEVICE_OPEN = 8
    DOWNLOAD_TRANSFER = 9
    PAYLOAD_HASH_MISMATCH = 10
    PAYLOAD_SIZE_MISMATCH = 11
    PAYLOAD_VERIFICATION = 12
    NEW_PARTITION_INFO = 13
    DOWNLOAD_WRITE = 14
    NEW_ROOT_VERIFICATION = 15
    NEW_KERNEL_VERIFICATION = 16
    SIGNED_PAYLOAD_EXPECTED = 17
    SIGNATURE_VERIFICATION = 18
    BOOTED_FROM_FIRMWARE_B = 19
    DOWNLOAD_STATE = 20
    METADATA_MAGIC = 21
    SIGNATURE_MISSING_IN_MANIFEST = 22
    MANIFEST_PARSE = 23
    METADATA_SIGNATURE = 24
    METADATA_SIGNATURE_VERIFICATION = 25
    METADATA_SIGNATURE_MISMATCH = 26
    OPERATION_HASH_VERIFICATION = 27
    OPERATION_EXECUTION = 28
    OPERATION_HASH_MISMATCH = 29
    OMAHA_EMPTY_RESPONSE = 30
    OMAHA_XML = 31
    METADATA_SIZE = 32
    METADATA_SIGNATURE_INVALID = 33
    OMAHA_RESPONSE_INVALID = 34
    IGNORED_PER_POLICY = 35
    DEFERRED_PER_POLICY = 36
    OMAHA_HTTP = 37
    OPERATION_HASH_MISSING = 38
    METADATA_SIGNATURE_MISSING = 39
    DEFERRED_FOR_BACKOFF = 40
    POWERWASH = 41
    PCR_POLICY_VERIFICATION = 42
    PCR_POLICY_HTTP = 43

    WRONG_APPLICATION = 1000
    """The payload is for another application."""
    BELOW_FLOOR = 1001
    """The payload's version is older than the floor."""
    NO_SPACE = 1002
    """The payload does not fit into the slot or onto the boot partition."""
    VERSION_REFUSED = 1003
    """The version failed on this machine before, or another is pinned, or updates are held."""
    BOOT_FAILED = 1010
    """The new version did not boot; the machine is back on the old one."""
    HEALTH_FAILED = 1011
    """The new version booted, but its health probes did not pass; the machine is back on the old one."""

    HTTP_BASE = 2000
    """2000 + the HTTP status that a server answered with."""


FAILED_IN_NEW_VERSION = frozenset({ErrorCode.BOOT_FAILED, ErrorCode.HEALTH_FAILED})
"""Errors for which the version itself is to blame: installed whole, it does not work on the machine."""

_FLAGS = 0xF000_0000  # developer mode, resumed, test image, an unofficial server: the four highest bits


def error_of(number: int) -> int:
    """The error code without the flags that update_engine adds, for example 18 for 268435474."""
    return number & 0xFFFF_FFFF & ~_FLAGS


def describe_error(number: int) -> str:
    """A short English name for an error code, for example `signature verification (18)`."""
    code = error_of(number)
    if ErrorCode.HTTP_BASE < code < ErrorCode.HTTP_BASE + 1000:
        return f"the server answered with HTTP {code - ErrorCode.HTTP_BASE} ({code})"
    try:
        return f"{ErrorCode(code).name.lower().replace('_', ' ')} ({code})"
    except ValueError:
        return f"error {code}"
