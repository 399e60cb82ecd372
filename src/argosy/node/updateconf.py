"""Settings of updates and reboots: three files of KEY=VALUE lines, the first that has a key decides it.

The engine, locksmith, the health gate and kexec read them: /etc/coreos/update.conf (this machine's),
/usr/share/coreos/update.conf and /usr/share/coreos/release (the release's): CoreOS's files, order and keys.
PIN, HOLD, FLOOR, REBOOT_METHOD, HEALTH_* and the proxies are ours. Of the reboots, locksmith reads more
(`node/locksmith/config.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from argosy.base.errors import InputError, Location
from argosy.formats.version import Version, parse_version

PROBING_FILE = Path("/run/argosy/probing")
"""On a trial boot the health gate writes here which probe does not pass yet; the engine tells the service."""

MACHINE_FILE = Path("/etc/coreos/update.conf")
FILES = (MACHINE_FILE, Path("/usr/share/coreos/update.conf"), Path("/usr/share/coreos/release"))

REBOOT_STRATEGIES = ("best-effort", "etcd-lock", "reboot", "off")
REBOOT_METHODS = ("reboot", "kexec")

_PROXIES = {"HTTP_PROXY": "http", "HTTPS_PROXY": "https", "NO_PROXY": "no"}
_LINE = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)")
_TRUE, _FALSE = ("true", "yes", "1", "on"), ("false", "no", "0", "off", "")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the files say. `server` is empty where no update service is set; `hold` is the reason, or empty.

    `pin` is the only version that may be installed. `floor` is the oldest. `proxies` maps `http`, `https` and
    `no` as urllib does; a key of update.conf goes before the environment. A version on trial must be healthy
    when the machine is up for `health_deadline_s`; a probe of the user's may take `health_probe_timeout_s`.
    """

    group: str = "stable"
    server: str = ""
    reboot_strategy: str = "best-effort"
    reboot_method: str = "reboot"
    pin: Version | None = None
    hold: str = ""
    floor: Version = field(default_factory=lambda: Version(0))
    version: str = "0.0.0"
    board: str = ""
    application: str = ""
    proxies: Mapping[str, str] = field(default_factory=dict)
    health_deadline_s: float = 600.0
    health_probe_timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Value:
    """What a file says for a key, and where."""

    text: str
    where: Location


def read_settings(files: Sequence[Path] = FILES, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the files (each may be missing) and the environment's proxies. Raises `InputError`."""
    floors = []
    for path in files:
        found = _read(path)
        floors += [found[key] for key in ("FLOOR", "COREOS_RELEASE_FLOOR") if key in found]
    return _settings(read_values(files), floors, environment or {})


def read_values(files: Sequence[Path] = FILES) -> dict[str, Value]:
    """What the files say, of the first that has a key. Each may be missing. Raises `InputError`."""
    values: dict[str, Value] = {}
    for path in files:
        values = _read(path) | values
    return values


def _read(path: Path) -> dict[str, Value]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=Location(str(path))) from error
    values = {}
    for number, line in enumerate(text.splitlines(), 1):
        if match := _LINE.fullmatch(line):
            values[match[1]] = Value(_unquoted(match[2].strip()), Location(str(path), number))
    return values


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text


def _settings(
    values: Mapping[str, Value], floors: Sequence[Value], environment: Mapping[str, str]
) -> Settings:
    def text(key: str, default: str = "") -> str:
        return values[key].text if key in values and values[key].text else default

    return Settings(
        group=text("GROUP", "stable"),
        server=_server(values.get("SERVER")),
        reboot_strategy=choice(values.get("REBOOT_STRATEGY"), REBOOT_STRATEGIES),
        reboot_method=choice(values.get("REBOOT_METHOD"), REBOOT_METHODS),
        pin=_version(values["PIN"]) if text("PIN") else None,
        hold=_hold(values.get("HOLD")),
        floor=max((_version(value) for value in floors if value.text), default=Version(0)),
        version=text("COREOS_RELEASE_VERSION", "0.0.0"),
        board=text("COREOS_RELEASE_BOARD"),
        application=text("COREOS_RELEASE_APPID"),
        proxies=_proxies(values, environment),
        # argosy-trial.timer ends a trial after 20 minutes.
        health_deadline_s=_seconds(values, "HEALTH_DEADLINE_S", 600.0, most_s=1140),
        health_probe_timeout_s=_seconds(values, "HEALTH_PROBE_TIMEOUT_S", 30.0, most_s=240),
    )


def _seconds(values: Mapping[str, Value], key: str, default: float, *, most_s: int) -> float:
    value = values.get(key)
    if value is None or not value.text:
        return default
    if not value.text.isdecimal() or not 1 <= int(value.text) <= most_s:
        raise InputError(f"{key}: `{value.text}` is not from 1 to {most_s} seconds", where=value.where)
    return float(value.text)


def _server(value: Value | None) -> str:
    """The update service's address. CoreOS's users wrote `disabled` to switch updates off."""
    if value is None or value.text in ("", "disabled"):
        return ""
    if not is_http_url(value.text):
        raise InputError(
            f"SERVER: `{value.text}` is not an address",
            where=value.where,
            hint="write http://HOST:PORT/v1/update/ or https://..., or nothing to have no updates",
        )
    return value.text


def with_value(text: str, key: str, value: str) -> str:
    """The text of a file of settings with `key` set; with an empty value, without it."""
    others = [line for line in text.splitlines() if not re.match(rf"\s*{key}\s*=", line)]
    if value:
        others.append(f"{key}={' '.join(value.split())}")
    return "".join(f"{line}\n" for line in others)


def is_http_url(text: str) -> bool:
    """Whether `text` is an http or https address with a host, without user or fragment."""
    try:
        parts = urlsplit(text)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and (parts.port or 1) > 0
            and "@" not in parts.netloc
            and not parts.fragment
            and text.isascii()
            and text.isprintable()
            and " " not in text
        )
    except ValueError:
        return False


def choice(value: Value | None, choices: Sequence[str]) -> str:
    """One of `choices`, the first by default. Raises `InputError`."""
    if value is None or not value.text:
        return choices[0]
    if value.text not in choices:
        raise InputError(f"`{value.text}` is none of {', '.join(choices)}", where=value.where)
    return value.text


def _version(value: Value) -> Version:
    try:
        return parse_version(value.text)
    except InputError as error:
        raise InputError(error.message, where=value.where, hint=error.hint) from error


def _hold(value: Value | None) -> str:
    """HOLD=yes, or HOLD= and the reason in words."""
    if value is None or value.text.lower() in _FALSE:
        return ""
    return "no reason given" if value.text.lower() in _TRUE else value.text


def _proxies(values: Mapping[str, Value], environment: Mapping[str, str]) -> dict[str, str]:
    proxies = {}
    for key, scheme in _PROXIES.items():
        value = values.get(key) or values.get(key.lower())
        text = value.text if value else environment.get(key.lower()) or environment.get(key) or ""
        if not text:
            continue
        if scheme != "no":
            text = text if "://" in text else f"http://{text}"
            _check_proxy(text, value.where if value else Location(key))
        proxies[scheme] = text
    return proxies


def _check_proxy(text: str, where: Location) -> None:
    """A proxy may hold a user and a password; they are not shown."""
    try:
        parts = urlsplit(text)
        sound = parts.scheme == "http" and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound:
        raise InputError("this is not a proxy", where=where, hint="write http://HOST:PORT")
