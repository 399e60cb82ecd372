"""Settings of fleetd: /etc/fleet/fleet.conf (KEY=VALUE lines), overruled by the environment (FLEET_KEY)."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from argosy.base.address import TlsFiles, parse_address
from argosy.base.errors import InputError, Location

log = logging.getLogger(__name__)

DEFAULT_FILE = Path("/etc/fleet/fleet.conf")

_LEAST_TTL_S = 5
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?")

# The original's keys that change nothing here, and why.
_WITHOUT_EFFECT = {
    "enable_grpc": "engine and agents meet in etcd",
    "disable_watches": "changes are always watched",
    "verify_units": "signed units were given up in the original",
    "authorized_keys_file": "signed units were given up in the original",
}


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of fleetd. `agent_ttl_s` is how long a silent machine counts as present."""

    verbosity: int = 0
    etcd_servers: tuple[str, ...] = ("http://127.0.0.1:2379",)
    etcd_key_prefix: str = "/_coreos.com/fleet/"
    etcd_request_timeout_s: float = 5.0
    etcd_tls: TlsFiles = field(default_factory=TlsFiles)
    public_ip: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    agent_ttl_s: int = 30
    engine_reconcile_interval_s: float = 2.0
    token_limit: int = 100
    disable_engine: bool = False
    units_directory: Path = Path("/run/fleet/units")


def read_config(file: Path, environment: Mapping[str, str], *, required: bool = False) -> Config:
    """Read the file (which may be missing unless `required`) and the environment. Raises `InputError`."""
    values: dict[str, tuple[str, Location]] = {}
    try:
        values |= _parse(file.read_text(), str(file))
    except FileNotFoundError as error:
        if required:
            raise InputError("there is no such file", where=Location(str(file))) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=Location(str(file))) from error
    for name, value in environment.items():
        if name.startswith("FLEET_") and value:
            values[name.removeprefix("FLEET_").lower()] = (value, Location(name))
    return _config(values)


def parse_duration_s(text: str) -> float:
    """Seconds from `30s`, `1m30s`, `2h` or a plain number."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ValueError("not a time such as 30s or 1m30s")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def _parse(text: str, source: str) -> dict[str, tuple[str, Location]]:
    values = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;[":
            continue
        key, separator, value = stripped.partition("=")
        if not separator:
            raise InputError(f"`{stripped}` is no KEY=VALUE line", where=Location(source, number))
        values[key.strip().lower().replace("-", "_")] = (_unquoted(value.strip()), Location(source, number))
    return values


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value


def _config(values: Mapping[str, tuple[str, Location]]) -> Config:
    settings: dict[str, object] = {}
    tls: dict[str, Path] = {}
    for key, (value, where) in values.items():
        if key in _WITHOUT_EFFECT:
            log.warning("%s: `%s` has no effect: %s", where, key, _WITHOUT_EFFECT[key])
        elif key in _TLS:
            tls[_TLS[key]] = Path(value)
        elif key in _SETTINGS:
            name, convert = _SETTINGS[key]
            try:
                settings[name] = convert(value)
            except ValueError as error:
                raise InputError(f"`{key}`: {error}", where=where) from error
        else:
            raise InputError(
                f"unknown setting `{key}`", where=where, hint="known: " + ", ".join(sorted(_SETTINGS))
            )
    return Config(**settings, etcd_tls=TlsFiles(**tls))  # type: ignore[arg-type]


def _servers(text: str) -> tuple[str, ...]:
    servers = tuple(part.strip().strip("\"'") for part in text.strip("[]").split(",") if part.strip())
    if not servers:
        raise ValueError("at least one address is needed")
    for server in servers:
        try:
            parse_address(server)
        except InputError as error:
            raise ValueError(error.message) from error
    return servers


def _metadata(text: str) -> dict[str, str]:
    found = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        key, separator, value = pair.partition("=")
        if not separator or not key.strip() or not value.strip():
            raise ValueError(f"`{pair}` is not KEY=VALUE")
        found[key.strip()] = value.strip()
    return found


def _ttl_s(text: str) -> int:
    ttl_s = round(parse_duration_s(text))
    if ttl_s < _LEAST_TTL_S:
        raise ValueError(f"at least {_LEAST_TTL_S} s")
    return ttl_s


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < 3600:
        raise ValueError("a number of seconds above 0 is needed")
    return number


def _limit(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 65535:
        raise ValueError("a number from 1 to 65535 is needed")
    return number


def _flag(text: str) -> bool:
    flags = {
        "true": True,
        "yes": True,
        "1": True,
        "on": True,
        "false": False,
        "no": False,
        "0": False,
        "off": False,
    }
    if text.lower() not in flags:
        raise ValueError("true or false is needed")
    return flags[text.lower()]


def _prefix(text: str) -> str:
    if not text.startswith("/") or not text.isascii():
        raise ValueError("a path such as /_coreos.com/fleet/ is needed")
    return text.rstrip("/") + "/"


_SETTINGS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "verbosity": ("verbosity", int),
    "etcd_servers": ("etcd_servers", _servers),
    "etcd_key_prefix": ("etcd_key_prefix", _prefix),
    "etcd_request_timeout": ("etcd_request_timeout_s", _positive),
    "public_ip": ("public_ip", str),
    "metadata": ("metadata", _metadata),
    "agent_ttl": ("agent_ttl_s", _ttl_s),
    "engine_reconcile_interval": ("engine_reconcile_interval_s", _positive),
    "token_limit": ("token_limit", _limit),
    "disable_engine": ("disable_engine", _flag),
    "units_directory": ("units_directory", Path),
}
_TLS = {"etcd_cafile": "authority", "etcd_certfile": "certificate", "etcd_keyfile": "key"}
