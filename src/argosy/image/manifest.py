"""What an image is made of: `os/manifest.toml`, and an administrator's own manifest that extends it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from argosy.base.decode import convert
from argosy.base.errors import InputError, Location
from argosy.formats.version import Version, parse_version

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?")
_MODE = re.compile(r"0?[0-7]{3,4}")


class Trim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Paths that do not belong into the image. `*` stays within a path's part, `**` does not; what is below a
    matching path goes with it. `keep` are exceptions."""

    why: str
    paths: tuple[str, ...]
    keep: tuple[str, ...] = ()


class ExtraFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that is added: `path` below /usr or /etc, `source` beside the manifest."""

    path: str
    source: str
    mode: str = "0644"


class Units(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """systemd units that are enabled or disabled in the image."""

    enable: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()


class Debian(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The suite, and mirrors as mmdebstrap(1) takes them; without mirrors it uses its own default."""

    suite: str = ""
    mirrors: tuple[str, ...] = ()


class Kernel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The kernel's package, the arguments that every boot gets, and the modules that the initrd loads."""

    package: str = ""
    arguments: tuple[str, ...] = ()
    initrd_modules: tuple[str, ...] = ()


class Update(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a release asks of updates: a machine that runs it never goes back below `floor`, a version."""

    floor: str = ""


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    packages: dict[str, str] = {}
    debian: Debian = Debian()
    kernel: Kernel = Kernel()
    trim: tuple[Trim, ...] = ()
    files: tuple[ExtraFile, ...] = ()
    units: Units = Units()
    update: Update = Update()


@dataclass(frozen=True, slots=True)
class AddedFile:
    """A file that is added: its path in the tree (no slash in front), its bytes and permissions."""

    path: str
    data: bytes
    mode: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that was decided about an image. `packages` maps names to reasons, `places` to where they stand.

    A machine that runs it never goes back below the version `floor`.
    """

    suite: str
    mirrors: tuple[str, ...]
    packages: dict[str, str]
    kernel: Kernel
    trims: tuple[Trim, ...]
    files: tuple[AddedFile, ...]
    units: Units
    floor: Version
    places: dict[str, Location]

    @property
    def all_packages(self) -> tuple[str, ...]:
        """What is installed, sorted: the packages and the kernel."""
        return tuple(sorted({*self.packages, self.kernel.package}))


def load(path: Path, *extensions: Path) -> Manifest:
    """Read a manifest and those that extend it, in order.

    Lists and packages are added to; a suite, a kernel package or mirrors replace what was there; the highest
    floor holds.
    Raises `InputError` with file, line and column for what is not valid.
    """
    manifest = _manifest(path)
    for extension in extensions:
        manifest = _extended(manifest, _manifest(extension))
    if not (manifest.suite and manifest.kernel.package):
        raise InputError(
            "the manifest names no [debian] suite or no [kernel] package", where=Location(str(path))
        )
    return manifest


def _extended(base: Manifest, more: Manifest) -> Manifest:
    kernel = Kernel(
        more.kernel.package or base.kernel.package,
        base.kernel.arguments + more.kernel.arguments,
        base.kernel.initrd_modules + more.kernel.initrd_modules,
    )
    return Manifest(
        suite=more.suite or base.suite,
        mirrors=more.mirrors or base.mirrors,
        packages={**base.packages, **more.packages},
        kernel=kernel,
        trims=base.trims + more.trims,
        files=base.files + more.files,
        units=Units(base.units.enable + more.units.enable, base.units.disable + more.units.disable),
        floor=max(base.floor, more.floor),
        places={**base.places, **more.places},
    )


def _manifest(path: Path) -> Manifest:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the manifest: {error}", where=Location(str(path))) from error
    document = _decode(text, str(path))
    return Manifest(
        suite=document.debian.suite,
        mirrors=document.debian.mirrors,
        packages=document.packages,
        kernel=document.kernel,
        trims=document.trim,
        files=tuple(_added(file, path, text) for file in document.files),
        units=document.units,
        floor=_floor(document.update.floor, text, str(path)),
        places={name: _find(text, str(path), name) for name in (*document.packages, document.kernel.package)},
    )


def _decode(text: str, source: str) -> _Document:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(error, source) from error
    for name, reason in _items(tables.get("packages")):
        if not _PACKAGE.fullmatch(name):
            raise InputError(f"{name!r} is not a package's name", where=_find(text, source, name))
        if not isinstance(reason, str):
            raise InputError(f"the reason for {name!r} must be a text", where=_find(text, source, name))
    try:
        return convert(tables, _Document, source=source)
    except InputError as error:
        word = re.search(r"unknown field `(\w+)`|at \$\S*?\.?([\w-]+)(?:\[[^\]]*\])*$", error.message)
        where = _find(text, source, word[1] or word[2]) if word else Location(source)
        raise InputError(error.message, where=where) from error


def _items(table: Any) -> list[tuple[str, Any]]:
    return list(table.items()) if isinstance(table, dict) else []


def _syntax_error(error: tomllib.TOMLDecodeError, source: str) -> InputError:
    place = re.fullmatch(r"(?s)(.*) \(at line (\d+), column (\d+)\)", str(error))
    if not place:
        return InputError(str(error), where=Location(source))
    return InputError(place[1], where=Location(source, int(place[2]), int(place[3])))


def _find(text: str, source: str, word: str) -> Location:
    """Where a key, table or string `word` first stands in TOML text."""
    pattern = re.compile(rf"(?<![\w.+-]){re.escape(word)}(?![\w.+-])")
    for number, line in enumerate(text.splitlines(), 1):
        match = pattern.search(line.partition("#")[0]) if word else None
        if match:
            return Location(source, number, match.start() + 1)
    return Location(source)


def _floor(value: str, text: str, source: str) -> Version:
    try:
        return parse_version(value) if value else Version(0)
    except InputError as error:
        raise InputError(error.message, where=_find(text, source, "floor"), hint=error.hint) from error


def _added(file: ExtraFile, manifest: Path, text: str) -> AddedFile:
    where = _find(text, str(manifest), file.path)
    path = file.path.strip("/")
    parts = path.split("/")
    if parts[0] not in ("usr", "etc") or len(parts) < 2 or ".." in parts:
        raise InputError(f"{file.path!r}: files are added below /usr or /etc", where=where)
    if not _MODE.fullmatch(file.mode):
        raise InputError(f"{file.mode!r} is not a mode such as 0644", where=where)
    try:
        data = (manifest.parent / file.source).read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read the file {file.source!r}: {error.strerror}",
            where=_find(text, str(manifest), file.source),
        ) from error
    return AddedFile(path, data, int(file.mode, 8))
