"""The tree of a cloud-config's YAML -> its types, along the table of keys."""

from __future__ import annotations

import gzip
import math
import posixpath
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from argosy.formats.cloudconfig import yamltree
from argosy.formats.cloudconfig.keys import CLOUD_CONFIG, Key, Kind
from argosy.formats.cloudconfig.model import (
    CloudConfig,
    DropIn,
    File,
    Finding,
    Severity,
    Unit,
    User,
    Variables,
)

# An absolute address or path, as Go's url.ParseRequestURI takes it.
_URL = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?/(?:[^\s%\x00-\x1f\x7f]|%[0-9A-Fa-f]{2})*\Z")


def read_cloud_config(root: yamltree.Node | None) -> tuple[CloudConfig, tuple[Finding, ...]]:
    """The config of a document (None: an empty one) and the findings in the order of their lines."""
    reader = _Reader()
    if root is not None and not yamltree.is_mapping(root):
        reader.error(yamltree.place(root), "must be keys with values, such as `hostname: core-01`")
        root = None
    values = reader.section(root, CLOUD_CONFIG, "", (1, 1)) if root is not None else {}
    config = _build(values, reader)
    findings = sorted(reader.findings, key=lambda finding: (finding.line, finding.column))
    return config, tuple(findings)


@dataclass(frozen=True)
class _Value:
    """A value and the place of its key."""

    value: Any
    line: int
    column: int


class _Reader:
    """Walks a YAML tree along the table of keys; keeps what fits, reports the rest."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def report(self, place: tuple[int, int], severity: Severity, message: str) -> None:
        self.findings.append(Finding(place[0], severity, message, place[1]))

    def error(self, place: tuple[int, int], message: str) -> None:
        self.report(place, Severity.ERROR, message)

    def mistyped(self, place: tuple[int, int], name: str, kind: Kind) -> None:
        self.report(place, Severity.WARNING, f'incorrect type for "{name}" (want {kind.value})')

    def section(self, node: yamltree.Node, key: Key, name: str, place: tuple[int, int]) -> dict[str, _Value]:
        """The known entries of a mapping; the last of equal keys wins."""
        if not yamltree.is_mapping(node):
            self.mistyped(place, name, Kind.SECTION)
            return {}
        nodes = {raw.replace("-", "_"): (at, value) for raw, at, value in yamltree.entries(node)}
        values: dict[str, _Value] = {}
        for entry, (key_node, value_node) in nodes.items():
            at = yamltree.place(key_node)
            if entry not in key.keys:
                self.report(at, Severity.WARNING, f'unrecognized key "{entry}"')
                if entry == "write_files" and not yamltree.is_null(value_node):
                    self.report(at, Severity.INFO, f"write_files doesn't belong under {name}")
                continue
            wanted = key.keys[entry]
            if wanted.deprecated:
                self.report(at, Severity.WARNING, f'deprecated key "{entry}" ({wanted.deprecated})')
            value = self.value(value_node, wanted, entry, at)
            if value is not None:
                values[entry] = _Value(value, *at)
        return values

    def value(self, node: yamltree.Node, key: Key, name: str, place: tuple[int, int]) -> Any:
        """The value of `node` as `key` wants it; None if it does not fit."""
        if key.kind is Kind.SECTION:
            return self.section(node, key, name, place)
        if key.kind in (Kind.TEXTS, Kind.SECTIONS):
            return self._items(node, key, name, place)
        return self._scalar(node, key, name, place)

    def _items(self, node: yamltree.Node, key: Key, name: str, place: tuple[int, int]) -> list[Any] | None:
        if not yamltree.is_sequence(node):
            self.mistyped(place, name, key.kind)
            return None
        kind = Kind.TEXT if key.kind is Kind.TEXTS else Kind.SECTION
        item_key = Key(kind, keys=key.keys)
        items = []
        for index, child in enumerate(node.value):
            at, item_name = yamltree.place(child), f"{name}[{index}]"
            if kind is Kind.SECTION and not yamltree.is_mapping(child):
                self.mistyped(at, item_name, kind)
                continue
            item = self.value(child, item_key, item_name, at)
            if item is not None:
                items.append(_Value(item, *at) if kind is Kind.SECTION else item)
        return items

    def _scalar(self, node: yamltree.Node, key: Key, name: str, place: tuple[int, int]) -> Any:
        if yamltree.is_mapping(node) or yamltree.is_sequence(node):
            self.mistyped(place, name, key.kind)
            if key.pattern:  # where only some values will do, nothing says what was meant
                self.error(place, f'invalid value for "{name}"')
            return None
        try:
            value = yamltree.scalar(node)
        except ValueError as error:
            self.error(place, f'"{name}": {error}')
            return None
        fitting = _fit(value, node.value, key.kind)
        if fitting is None or (key.kind is Kind.INTEGER and isinstance(value, float)):
            self.mistyped(place, name, key.kind)
            return fitting
        if key.pattern and fitting and not re.fullmatch(key.pattern, fitting):
            self.error(place, f"invalid value {fitting}")
        return fitting


def _fit(value: yamltree.Scalar, text: str, kind: Kind) -> Any:
    """`value` as the `kind` of a scalar; None if it cannot be. Text keeps the characters as written."""
    if value is None:
        return None
    if kind is Kind.TEXT:
        return value.decode(errors="surrogateescape") if isinstance(value, bytes) else text
    if kind is Kind.FLAG:
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if kind is Kind.NUMBER:
        return float(value)
    return int(value) if math.isfinite(value) else None


def _build(values: Mapping[str, _Value], reader: _Reader) -> CloudConfig:
    coreos: Mapping[str, _Value] = _get(values, "coreos", {})
    if "discovery" in (etcd := _get(coreos, "etcd", {})) and not _URL.match(etcd["discovery"].value):
        place = (etcd["discovery"].line, etcd["discovery"].column)
        reader.report(place, Severity.WARNING, "discovery URL is not valid")
    keys = CLOUD_CONFIG.keys["coreos"].keys
    options = {
        name: _variables(_get(coreos, name, {}), keys[name], reader)
        for name in ("etcd", "etcd2", "fleet", "locksmith", "flannel", "update")
    }
    return CloudConfig(
        hostname=_get(values, "hostname", ""),
        ssh_authorized_keys=tuple(_get(values, "ssh_authorized_keys", ())),
        users=tuple(_user(entry.value) for entry in _get(values, "users", ())),
        write_files=tuple(_files(_get(values, "write_files", ()), reader)),
        manage_etc_hosts=_get(values, "manage_etc_hosts", ""),
        units=tuple(_units(_get(coreos, "units", ()), reader)),
        oem=tuple((key, value.value) for key, value in _get(coreos, "oem", {}).items()),
        **options,
    )


def _get(values: Mapping[str, _Value], name: str, default: Any) -> Any:
    return values[name].value if name in values else default


def _plain(values: Mapping[str, _Value], names: Iterable[str]) -> dict[str, Any]:
    """The values of `names`, lists as tuples."""
    found = {name: values[name].value for name in names if name in values}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


def _user(values: Mapping[str, _Value]) -> User:
    names = set(User.__dataclass_fields__) - {"password_hash"}
    return User(password_hash=_get(values, "passwd", ""), **_plain(values, names))


def _files(entries: Iterable[_Value], reader: _Reader) -> Iterator[File]:
    for entry in entries:
        values = entry.value
        path = _get(values, "path", "")
        if not path.strip("/"):
            reader.error((entry.line, entry.column), "a file needs a path")
        elif posixpath.normpath("/" + path.lstrip("/")).startswith("/usr/"):
            place = (values["path"].line, values["path"].column)
            reader.error(place, "file cannot be written to a read-only filesystem")
        permissions = _get(values, "permissions", "")
        yield File(
            path=path,
            content=_content(values, reader),
            mode=int(permissions, 8) if re.fullmatch("[0-7]+", permissions) else 0o644,
            owner=_get(values, "owner", ""),
        )


def _content(values: Mapping[str, _Value], reader: _Reader) -> bytes:
    """The bytes of a file, with its encoding undone."""
    encoding: str = _get(values, "encoding", "")
    raw: bytes = _get(values, "content", "").encode(errors="surrogateescape")
    try:
        if encoding and "content" not in values:
            raise ValueError
        return decode_content(raw, encoding)
    except ValueError:
        at = values.get("content", values["encoding"])
        reader.error((at.line, at.column), f'content cannot be decoded as "{encoding}"')
        return raw


def decode_content(content: bytes, encoding: str) -> bytes:
    """Undo an `encoding` of write_files. Raises `ValueError` if the encoding or the content is not valid."""
    compression, _, outer = encoding.partition("+")
    if not outer and compression in ("b64", "base64"):
        compression, outer = "", compression
    if outer not in ("", "b64", "base64") or compression not in ("", "gz", "gzip"):
        raise ValueError(f"unknown encoding {encoding!r}")
    if outer:
        content = yamltree.decode_base64(content.decode("ascii"))
    if not compression:
        return content
    try:
        if not content:
            raise EOFError
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError("not gzip") from error


def _units(entries: Iterable[_Value], reader: _Reader) -> Iterator[Unit]:
    for entry in entries:
        values = entry.value
        name = _file_name(values, entry, reader)
        drop_ins = tuple(
            DropIn(_file_name(drop_in.value, drop_in, reader), _get(drop_in.value, "content", ""))
            for drop_in in _get(values, "drop_ins", ())
        )
        yield Unit(
            name=name,
            drop_ins=drop_ins,
            **_plain(values, ("content", "mask", "enable", "runtime", "command")),
        )


def _file_name(values: Mapping[str, _Value], entry: _Value, reader: _Reader) -> str:
    name: str = _get(values, "name", "")
    if "/" in name or name in (".", ".."):
        reader.error((entry.line, entry.column), f'"{name}" is not a file name')
    return name


def _variables(values: Mapping[str, _Value], section: Key, reader: _Reader) -> Variables:
    """The options that are set, in the order of the table; zero and false count as not set."""
    variables = []
    for name, key in section.keys.items():
        value = _get(values, name, None)
        if not value:
            continue
        text = _text(value)
        if any(ord(character) < 32 for character in text):
            reader.error((values[name].line, values[name].column), f'"{name}" must be one line of text')
        variables.append((key.env, text))
    return tuple(variables)


def _text(value: str | int | float) -> str:
    """A value as the original printed it: truth as `true`, numbers without a needless `.0`."""
    if isinstance(value, bool):
        return "true"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return str(value)
