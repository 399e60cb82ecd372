"""The [X-Fleet] section of a unit: where in the cluster the unit may run.

Names, specifiers and forbidden combinations are those of fleet 1.0, with the older spellings that it took.
Where the original silently ignored a value that it could not understand, and so ran the unit anywhere,
this is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from argosy.base.errors import InputError, Location
from argosy.formats.unit import Option, UnitFile, UnitName

SECTION = "X-Fleet"

# Older spelling -> name of today.
_ALIASES = {
    "X-ConditionMachineID": "MachineID",
    "X-ConditionMachineBootID": "MachineID",
    "X-ConditionMachineOf": "MachineOf",
    "X-ConditionMachineMetadata": "MachineMetadata",
    "X-Conflicts": "Conflicts",
}
_KNOWN = frozenset(("MachineID", "MachineOf", "Conflicts", "Replaces", "Global", "MachineMetadata"))
_TRUE = frozenset(("true", "yes", "1", "on", "t"))

_FORBIDDEN_TOGETHER = (
    ("MachineID", "MachineOf"),
    ("MachineID", "Conflicts"),
    ("MachineID", "Global"),
    ("MachineID", "Replaces"),
    ("Global", "MachineOf"),
    ("Global", "Replaces"),
    ("Conflicts", "Replaces"),
)


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a unit asks of the machine it runs on. Patterns are globs over unit names.

    `metadata` has for each key the values of which the machine must have one; every key counts.
    `unknown` are options that mean nothing to us; they are kept and ignored, as the original did. `single`
    says why the unit must not run in two places even for a moment; it is empty if it may.
    """

    machine_id: str | None = None
    peers: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    is_global: bool = False
    metadata: tuple[tuple[str, frozenset[str]], ...] = ()
    unknown: tuple[str, ...] = ()
    single: str = ""


def requirements(name: UnitName, options: Sequence[Option], *, file: UnitFile | None = None) -> Requirements:
    """Read what [X-Fleet] of unit `name` asks for; `file` gives errors their place. Raises `InputError`."""
    found: dict[str, list[str]] = {}
    places: dict[str, Location | None] = {}
    unknown = []
    for option in options:
        if option.section != SECTION:
            continue
        key = _ALIASES.get(option.name, option.name)
        if key not in _KNOWN:
            unknown.append(option.name)
            continue
        places[key] = file.where(option) if file else None
        found.setdefault(key, []).extend(substitute(value, name) for value in _words(option.value))
    conflicts = _patterns(found.get("Conflicts", ()), places.get("Conflicts"))
    result = Requirements(
        machine_id=next(iter(found.get("MachineID", ())), None),
        peers=tuple(found.get("MachineOf", ())),
        conflicts=conflicts,
        replaces=_patterns(found.get("Replaces", ()), places.get("Replaces")),
        is_global=_is_true(found.get("Global", ())),
        metadata=_metadata(found.get("MachineMetadata", ()), places.get("MachineMetadata")),
        unknown=tuple(unknown),
        single=_single(name, conflicts, options),
    )
    _check(result, places)
    return result


def substitute(value: str, name: UnitName) -> str:
    """Replace the specifiers that fleet knows: %n full name, %N name without type, %p prefix, %i instance."""
    specifiers = {"n": name.full, "N": name.stem, "p": name.prefix, "i": name.instance or "", "%": "%"}
    return re.sub(r"%([nNpi%])", lambda match: specifiers[match[1]], value)


@lru_cache(maxsize=4096)
def compile_glob(pattern: str) -> re.Pattern[str]:
    """A glob over unit names as a regular expression; raises `InputError`.

    Go's path.Match, without slashes: `*`, `?`, `[a-z]`, `[^a-z]` (and `[!a-z]`); a backslash quotes.
    """
    try:
        return re.compile("".join(_glob_parts(pattern)) + r"\Z", re.DOTALL)
    except (StopIteration, re.error, ValueError) as error:
        raise InputError(f"`{pattern}` is not a pattern over unit names") from error


def literal_prefix(pattern: str) -> str:
    """The characters with which every name that matches the pattern begins."""
    match = re.match(r"[^*?\[\\]*", pattern)
    return match[0] if match else ""


def _glob_parts(pattern: str) -> Iterator[str]:
    rest = pattern
    while rest:
        head, rest = rest[0], rest[1:]
        if head == "*":
            yield ".*"
        elif head == "?":
            yield "."
        elif head == "[":
            inner, rest = _character_class(rest)
            yield inner
        elif head == "\\":
            if not rest:
                raise ValueError("nothing behind the backslash")
            yield re.escape(rest[0])
            rest = rest[1:]
        else:
            yield re.escape(head)


def _character_class(text: str) -> tuple[str, str]:
    match = re.match(r"([\^!]?)((?:\\.|[^\]\\])+)\]", text)
    if match is None:
        raise ValueError("the bracket is not closed")
    inner = "".join(
        part if part == "-" else "\\" + part if part in "[]^&~|\\" else part
        for part in re.findall(r"\\.|.", match[2])
    )
    return f"[{'^' if match[1] else ''}{inner}]", text[match.end() :]


def _words(value: str) -> list[str]:
    """The values on one line: several if each is in double quotes, else the line as it is."""
    if value.startswith('"') and value.endswith('"') and len(value) > 1:
        return re.findall(r'"([^"]*)"', value)
    return [value]


def _patterns(values: Sequence[str], where: Location | None) -> tuple[str, ...]:
    patterns = tuple(word for value in values for word in value.split())
    for pattern in patterns:
        try:
            compile_glob(pattern)
        except InputError as error:
            raise InputError(error.message, where=where) from error
    return patterns


def _single(name: UnitName, conflicts: Sequence[str], options: Sequence[Option]) -> str:
    """Why a unit must not run twice: it names itself in Conflicts, not by a pattern, or does a job once."""
    if name.full in conflicts:
        return "its Conflicts names itself"
    service = {option.name: option.value for option in options if option.section == "Service"}
    if service.get("Type") == "oneshot" and service.get("RemainAfterExit", "").lower() not in _TRUE:
        return "it is of Type=oneshot: a second one would do its work again"
    return ""


def _is_true(values: Sequence[str]) -> bool:
    return bool(values) and values[-1].lower() in _TRUE


def _metadata(values: Sequence[str], where: Location | None) -> tuple[tuple[str, frozenset[str]], ...]:
    wanted: dict[str, set[str]] = {}
    for value in values:
        key, separator, content = value.partition("=")
        if not (key and separator and content) or "=" in content:
            raise InputError(
                f"MachineMetadata: `{value}` is not KEY=VALUE",
                where=where,
                hint='several on one line are written "KEY=VALUE" "KEY=VALUE"',
            )
        wanted.setdefault(key, set()).add(content)
    return tuple(sorted((key, frozenset(contents)) for key, contents in wanted.items()))


def _check(found: Requirements, places: dict[str, Location | None]) -> None:
    present = {
        "MachineID": found.machine_id is not None,
        "MachineOf": bool(found.peers),
        "Conflicts": bool(found.conflicts),
        "Replaces": bool(found.replaces),
        "Global": found.is_global,
    }
    for first, second in _FORBIDDEN_TOGETHER:
        if present[first] and present[second]:
            raise InputError(f"{first} cannot be used with {second}", where=places.get(second))
    for option, patterns in (("Conflicts", found.conflicts), ("Replaces", found.replaces)):
        for peer in found.peers:
            for pattern in patterns:
                if compile_glob(pattern).match(peer):
                    raise InputError(
                        f"MachineOf={peer} can never hold: {option}={pattern} matches it",
                        where=places.get(option),
                    )
