"""The edge: /var/lib/argosy/slots.json, what is remembered about versions besides the attribute bits.

The file is ours alone, and read at every boot: plain `json`, because the library for foreign input costs the
boot more than all else here.
"""

from __future__ import annotations

import json
from pathlib import Path

from argosy.base.files import replace_file
from argosy.node.slots.model import SLOTS, Failure, FailureKind, Records


def read_records(path: Path) -> Records:
    """What the file says. A file that is missing or not ours says nothing: records may be lost."""
    try:
        return decode_records(path.read_bytes())
    except FileNotFoundError:
        return Records()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        import logging  # costs every boot, and is hardly ever needed

        logging.getLogger(__name__).warning("%s is damaged and starts anew: %s", path, error)
        return Records()


def write_records(path: Path, records: Records) -> None:
    """Replace the file, durably."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, encode_records(records))


def decode_records(data: bytes) -> Records:
    """Raises `ValueError`, `KeyError`, `TypeError`, `AttributeError` if `encode_records` did not write it."""
    found = json.loads(data)
    return Records(
        versions={slot: str(found["versions"][slot]) for slot in SLOTS if slot in found["versions"]},
        failures=tuple(_failure(failure) for failure in found["failures"]),
        returned=int(found["returned"]),
    )


def encode_records(records: Records) -> bytes:
    """The file's bytes."""
    failures = [
        {
            "version": failure.version,
            "slot": failure.slot,
            "reason": failure.reason,
            "time_s": failure.time_s,
            "kind": failure.kind.value,
        }
        for failure in records.failures
    ]
    found = {"versions": records.versions, "failures": failures, "returned": records.returned}
    return json.dumps(found, indent=2).encode() + b"\n"


def _failure(found: dict[str, object]) -> Failure:
    time_s = found["time_s"]
    if not isinstance(time_s, int):
        raise TypeError("a failure's time is not a number of seconds")
    kind = FailureKind(str(found["kind"]))
    return Failure(str(found["version"]), str(found["slot"]), str(found["reason"]), time_s, kind)
