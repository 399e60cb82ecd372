"""cloud-config: user-data -> frozen types and a report of everything that is wrong with it.

The format is coreos-cloudinit's (Container Linux's `cloud-config` documentation); `-` and `_` in keys are
alike. The report has that tool's form, `line N: error|warning|info: message`. Errors mean that the whole
config is not applied; what a warning names is left out or ignored.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping

from argosy.base.errors import InputError, Location
from argosy.formats.cloudconfig.model import (
    CloudConfig,
    DropIn,
    File,
    Finding,
    Report,
    Severity,
    Unit,
    User,
    Variables,
)
from argosy.formats.cloudconfig.reader import read_cloud_config
from argosy.formats.cloudconfig.yamltree import parse_yaml

__all__ = [
    "ADDRESS_NAMES",
    "HEADER",
    "CloudConfig",
    "DropIn",
    "File",
    "Finding",
    "Head",
    "Report",
    "Severity",
    "Unit",
    "User",
    "Variables",
    "check_user_data",
    "head",
    "parse_cloud_config",
    "substitute",
    "unknown_addresses",
]

HEADER = "#cloud-config"
ADDRESS_NAMES = ("public_ipv4", "private_ipv4", "public_ipv6", "private_ipv6")

_ADDRESS = re.compile(r"(\\?)\$(" + "|".join(ADDRESS_NAMES) + ")")


class Head(enum.Enum):
    """What kind of user-data a text is, by its beginning."""

    NOTHING = "nothing"
    CLOUD_CONFIG = "cloud-config"
    SCRIPT = "script"
    IGNITION = "Ignition config"
    UNKNOWN = "unknown"


def head(text: str) -> Head:
    """What kind of user-data `text` is."""
    if not text:
        return Head.NOTHING
    first = text.split("\n", 1)[0]
    if first.startswith("#!"):
        return Head.SCRIPT
    if first.rstrip() == HEADER:
        return Head.CLOUD_CONFIG
    return Head.IGNITION if _is_ignition(text) else Head.UNKNOWN


def substitute(text: str, addresses: Mapping[str, str]) -> str:
    r"""Put addresses in place of `$private_ipv4` and the like; `\$private_ipv4` stays as `$private_ipv4`.

    `addresses` has some of `ADDRESS_NAMES`; a name that it lacks becomes nothing (see `unknown_addresses`).
    """
    return _ADDRESS.sub(lambda m: f"${m[2]}" if m[1] else addresses.get(m[2], ""), text)


def unknown_addresses(text: str, addresses: Mapping[str, str]) -> tuple[str, ...]:
    """The names that `text` uses and `addresses` lacks."""
    used = {match[2] for match in _ADDRESS.finditer(text) if not match[1]}
    return tuple(name for name in ADDRESS_NAMES if name in used and not addresses.get(name))


def check_user_data(text: str, source: str) -> Report:
    """Check user-data of any kind without applying it. `source` names it in errors."""
    return parse_cloud_config(text, source)[1]


def parse_cloud_config(text: str, source: str) -> tuple[CloudConfig, Report]:
    """Parse `text`, and report all that is wrong with it at once; never raises for bad input.

    Nothing and scripts give an empty config without findings. A config with errors must not be applied.
    """
    match head(text):
        case Head.NOTHING | Head.SCRIPT:
            return CloudConfig(), Report(source)
        case Head.IGNITION:
            message = "this is an Ignition config, which this release does not read yet; use #cloud-config"
            return CloudConfig(), Report(source, (Finding(1, Severity.ERROR, message, 1),))
        case Head.UNKNOWN:
            message = f'must be "{HEADER}" or begin with "#!"'
            return CloudConfig(), Report(source, (Finding(1, Severity.ERROR, message, 1),))
    try:
        root = parse_yaml(text, source=source)
    except InputError as error:
        where = error.where if isinstance(error.where, Location) else Location(source, 1)
        return CloudConfig(), Report(
            source, (Finding(where.line, Severity.ERROR, error.message, where.column),)
        )
    config, findings = read_cloud_config(root)
    return config, Report(source, findings)


def _is_ignition(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    import json  # few texts come this far, and the machine's boot is short of time

    try:
        value = json.loads(text)
    except ValueError:
        return False
    versioned = isinstance(value.get("ignition"), dict) and "version" in value["ignition"]
    return versioned or "ignitionVersion" in value
