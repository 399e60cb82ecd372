"""YAML text -> a tree of nodes that know their line, with the scalars of YAML 1.1 as cloud-config has them.

PyYAML's own scalars differ from those of the YAML library that cloud-config grew up with (`y` is a truth
value, a date is text, `1:30` is text), so the implicit types are listed here.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterator

import yaml

from argosy.base.errors import InputError, Location

Node = yaml.nodes.Node
Scalar = str | bool | int | float | bytes | None

_TAG = "tag:yaml.org,2002:"
_TRUE = frozenset(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"])
_FALSE = frozenset(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"])
_IMPLICIT = (
    ("bool", "|".join(sorted(_TRUE | _FALSE)), "yYnNtTfFoO"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?(?:0[0-7_]*|[1-9][0-9_]*|0[xX][0-9a-fA-F_]+|0b[01_]+)", "-+0123456789"),
    (
        "float",
        r"[-+]?[0-9][0-9_]*\.?[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("merge", "<<", "<"),
)


class _Loader(yaml.CSafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _name, _pattern, _first in _IMPLICIT:
    _Loader.add_implicit_resolver(
        _TAG + _name, re.compile(f"(?:{_pattern})\\Z"), [c if c != "\0" else "" for c in _first]
    )


def parse_yaml(text: str, *, source: str) -> Node | None:
    """The root node of the first document of `text`; None if there is nothing in it.

    Raises `InputError` with the line and column of a syntax error.
    """
    try:
        loader = _Loader(text)
        try:
            root = loader.get_node() if loader.check_node() else None
            loader.check_node()  # what follows the document must be YAML, too
            return root
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = Location(source, mark.line + 1, mark.column + 1) if mark else Location(source, 1)
        raise InputError(error.problem or "not valid YAML", where=where) from error
    except (yaml.reader.ReaderError, UnicodeEncodeError) as error:
        raise InputError(f"not valid YAML: {_one_line(error)}", where=Location(source, 1)) from error
    except RecursionError as error:
        raise InputError("nested too deeply", where=Location(source, 1)) from error


def scalar(node: Node) -> Scalar:
    """The value of a scalar node as its tag says. Raises `ValueError` if the text does not fit the tag."""
    text: str = node.value
    match node.tag.removeprefix(_TAG):
        case "null":
            return None
        case "bool":
            if text not in _TRUE | _FALSE:
                raise ValueError(f"{text!r} is not true or false")
            return text in _TRUE
        case "int":
            return _integer(text)
        case "float":
            return _float(text)
        case "binary":
            return decode_base64(text)
    return text


def entries(node: Node) -> Iterator[tuple[str, Node, Node]]:
    """(key, key node, value node) in order; what `<<` merges in comes first, so that own keys win."""
    for key, value in node.value:
        if key.tag == _TAG + "merge":
            merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for mapping in reversed(merged):
                if isinstance(mapping, yaml.MappingNode) and mapping is not node:
                    yield from ((k.value, k, v) for k, v in mapping.value if isinstance(k, yaml.ScalarNode))
    for key, value in node.value:
        if key.tag != _TAG + "merge":
            yield (key.value if isinstance(key, yaml.ScalarNode) else "", key, value)


def is_null(node: Node) -> bool:
    """Whether `node` is nothing: `~`, `null` or no text."""
    return isinstance(node, yaml.ScalarNode) and node.tag == _TAG + "null"


def is_mapping(node: Node) -> bool:
    """Whether `node` is `key: value` pairs."""
    return isinstance(node, yaml.MappingNode)


def is_sequence(node: Node) -> bool:
    """Whether `node` is a list."""
    return isinstance(node, yaml.SequenceNode)


def place(node: Node) -> tuple[int, int]:
    """Line and column at which `node` starts, both from 1."""
    return node.start_mark.line + 1, node.start_mark.column + 1


def decode_base64(text: str) -> bytes:
    """Standard, padded base64; line breaks are ignored. Raises `ValueError` for all else."""
    try:
        return base64.b64decode(re.sub(r"[\r\n]", "", text), validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error


def _integer(text: str) -> int:
    digits = text.replace("_", "")
    sign, digits = (-1, digits[1:]) if digits.startswith("-") else (1, digits.removeprefix("+"))
    if re.fullmatch(r"0[0-7]+", digits):
        return sign * int(digits, 8)
    return sign * int(digits, 0)


def _float(text: str) -> float:
    lowered = text.lower()
    if lowered.endswith(".inf"):
        return -math.inf if lowered.startswith("-") else math.inf
    return math.nan if lowered == ".nan" else float(text.replace("_", ""))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
