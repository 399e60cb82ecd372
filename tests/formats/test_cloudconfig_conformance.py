"""The report of a cloud-config against what `coreos-cloudinit -validate` said: exit code, lines, severities.

Where ours differs on purpose, a rule below says when and why; every other case must agree exactly.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import yaml
from tests.conformance import cases

from argosy.formats.cloudconfig import Finding, check_user_data

Entry = tuple[int, str, str]

_ENTRY = re.compile(r"line (\d+): (\w+): (.*)")
_NOT_TEXT = 'incorrect type for "discovery" (want string)'
_SYNTAX = re.compile(
    "mapping values are not allowed|cannot start any token|did not find expected|could not find expected"
    "|found a tab character|unexpected end of stream"
)


def theirs(case: dict[str, Any]) -> list[Entry]:
    found = [_ENTRY.fullmatch(line) for line in case["stderr"].splitlines()]
    return [(int(match[1]), match[2], match[3]) for match in found if match]


def expected(case: dict[str, Any]) -> list[Entry]:
    """What they said, less what is not true here."""
    entries = []
    for line, severity, message in theirs(case):
        if "no longer shipped in Container Linux" in message or "no longer work for etcd" in message:
            continue  # etcd and fleet are part of Argosy, and `etcd` is etcd 3
        if message.startswith('incorrect type for ""'):
            continue  # follows every syntax error
        if message == "discovery URL is not valid" and (line, "warning", _NOT_TEXT) in theirs(case):
            continue  # one report for a list in the place of a URL is enough
        if message == "invalid value best-effort":
            continue  # an older spelling that we still take
        if _SYNTAX.search(message):
            line += 1  # their YAML library counted the lines of syntax errors from 0
        entries.append((line, severity, message))
    return entries


def ours(findings: tuple[Finding, ...]) -> list[Entry]:
    """What we say, less what they found only when applying it, or not at all."""
    extra = ("a file needs a path", "must be keys with values", "this is an Ignition config")
    return [
        (finding.line, finding.severity.value, finding.message)
        for finding in findings
        if not finding.message.startswith(extra)
    ]


def differs_on_purpose(case: dict[str, Any]) -> str:
    """Why a case is not comparable; empty if it is."""
    text = case["input"]
    if "Failed while validating" in case["stderr"]:
        return "theirs crashed"
    if any(line == 0 and "unrecognized" in message for line, _, message in theirs(case)):
        return "theirs did not find the line of a quoted or folded key"
    if any("content cannot be decoded" in message for *_, message in theirs(case)) and not re.search(
        r"^[ -]*content: *[^\s\[]", text, re.MULTILINE
    ):
        return "theirs took missing content for undecodable content at line 0"
    if re.search(r"path: /usrlocal|path: usr/", text):
        return "theirs took /usrlocal for /usr, and usr/ for another place"
    if "manage_etc_hosts" in text:
        return "theirs refused other values than localhost only when applying them"
    try:
        nodes = list(_nodes(yaml.compose(text)))
    except yaml.YAMLError:
        return ""
    if len(nodes) != len({id(node) for node in nodes}):
        return "theirs found the elements of a list by their dashes, not by what an alias stands for"
    if any(_has_equal_keys(node) for node in nodes):
        return "of equal keys, theirs named the line of the first, but took the last"
    return ""


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from _nodes(child)
    elif isinstance(node, yaml.MappingNode):
        for _, child in node.value:
            yield from _nodes(child)


def _has_equal_keys(node: Any) -> bool:
    if not isinstance(node, yaml.MappingNode):
        return False
    keys = [str(key.value).replace("-", "_") for key, _ in node.value]
    return len(keys) != len(set(keys))


def test_reports_agree_with_the_original() -> None:
    reasons: Counter[str] = Counter()
    wrong = []
    agreed = 0
    for case in cases("cloudinit-validate"):
        found = ours(check_user_data(case["input"], "user_data").findings)
        wanted = expected(case)
        if Counter(entry[:2] for entry in found) == Counter(entry[:2] for entry in wanted):
            agreed += 1
            # Only entries make the exit code 1, with them and with us.
            assert (case["exit"] != 0) == bool(theirs(case)), case["input"]
        elif reason := differs_on_purpose(case):
            reasons[reason] += 1
        else:
            wrong.append((case["input"], wanted, found))
    print(f"{agreed} agree;", "; ".join(f"{count}: {reason}" for reason, count in reasons.items()))
    assert agreed
    assert not wrong, f"{len(wrong)} of {agreed + len(wrong)} differ, for example {wrong[:3]}"
