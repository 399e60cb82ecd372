"""Settings of locksmith: update.conf (where the engine's are too), then the environment.

REBOOT_STRATEGY, REBOOT_WINDOW_START, REBOOT_WINDOW_LENGTH and LOCKSMITHD_* are the original's. As there, a
file goes before the environment. The rest is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from argosy.base.address import Login, TlsFiles, parse_address
from argosy.base.errors import InputError, Location
from argosy.formats.duration import parse_duration_s
from argosy.node.locksmith.model import DEFAULT_ENDPOINT, Access, Settings, Strategy
from argosy.node.locksmith.windows import Window, parse_windows
from argosy.node.updateconf import FILES, REBOOT_STRATEGIES, Value, choice, read_values

T = TypeVar("T")

_DAEMON = "LOCKSMITHD_"


def read_settings(environment: Mapping[str, str], files: Sequence[Path] = FILES) -> Settings:
    """Read the files (each may be missing) and the environment. Raises `InputError`."""
    named = {name: Value(text, Location(name)) for name, text in environment.items()}
    values = {name: value for name, value in (named | read_values(files)).items() if value.text}
    return Settings(
        strategy=Strategy(choice(values.get("REBOOT_STRATEGY"), REBOOT_STRATEGIES)),
        access=access(values),
        windows=_windows(values),
        delay_s=_read(values, "REBOOT_DELAY", parse_duration_s, 0.0),
        warning_s=_read(values, "REBOOT_WARNING", parse_duration_s, 300.0),
        drain_s=_read(values, "REBOOT_DRAIN_TIMEOUT", parse_duration_s, 300.0),
        stale_after_s=_read(values, "STALE_LOCK_AFTER", _duration_or_off, None),
    )


def access(values: Mapping[str, Value], prefix: str = _DAEMON) -> Access:
    """How to reach etcd, from names that begin with `prefix`. Raises `InputError`."""

    def text(name: str) -> str:
        return values[prefix + name].text if prefix + name in values else ""

    def path(name: str) -> Path | None:
        return Path(text(name)) if text(name) else None

    user = text("ETCD_USERNAME")
    return Access(
        endpoints=_read(values, f"{prefix}ENDPOINT", parse_endpoints, (DEFAULT_ENDPOINT,)),
        tls=TlsFiles(path("ETCD_CAFILE"), path("ETCD_CERTFILE"), path("ETCD_KEYFILE")),
        login=Login(user, text("ETCD_PASSWORD")) if user else None,
        group=text("GROUP"),
    )


def parse_endpoints(text: str) -> tuple[str, ...]:
    """Addresses separated by commas. Raises `ValueError`."""
    endpoints = tuple(each.strip() for each in text.split(",") if each.strip())
    for endpoint in endpoints:
        try:
            parse_address(endpoint)
        except InputError as error:
            raise ValueError(error.message) from error
    if not endpoints:
        raise ValueError("at least one address is needed")
    return endpoints


def _windows(values: Mapping[str, Value]) -> tuple[Window, ...]:
    """Of the original's two names for each, the longer one goes first."""
    start, length = (
        values.get(_DAEMON + name) or values.get(name)
        for name in ("REBOOT_WINDOW_START", "REBOOT_WINDOW_LENGTH")
    )
    try:
        return parse_windows(start.text if start else "", length.text if length else "")
    except ValueError as error:
        either = start or length
        raise InputError(str(error), where=either.where if either else None) from error


def _duration_or_off(text: str) -> float | None:
    return None if text == "off" else parse_duration_s(text)


def _read(values: Mapping[str, Value], name: str, convert: Callable[[str], T], default: T) -> T:
    value = values.get(name)
    if value is None:
        return default
    try:
        return convert(value.text)
    except ValueError as error:
        raise InputError(f"{name}: {error}", where=value.where) from error
