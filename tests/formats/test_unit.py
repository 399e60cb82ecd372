"""Unit files as text and options, names, and the hash."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.base.errors import InputError
from argosy.formats.unit import Option, UnitName, parse_name, parse_unit, serialize, unit_hash

HELLO = """\
# a comment
[Unit]
Description=Hello, world
After=network.target

[Service]
  ExecStart = /bin/sh -c 'while true; do \\
    echo hello; \\
    sleep 1; done'
; another, \\
that goes on
Environment=A=1 B="x y"
Environment=
[Install]
[Unit]
Wants=podman.service
"""


def options(text: str) -> list[tuple[str, str, str]]:
    return [(o.section, o.name, o.value) for o in parse_unit(text, source="x.service").options]


def test_a_whole_file() -> None:
    assert options(HELLO) == [
        ("Unit", "Description", "Hello, world"),
        ("Unit", "After", "network.target"),
        ("Service", "ExecStart", "/bin/sh -c 'while true; do \\\n    echo hello; \\\n    sleep 1; done'"),
        ("Service", "Environment", 'A=1 B="x y"'),
        ("Service", "Environment", ""),
        ("Unit", "Wants", "podman.service"),
    ]


def test_the_normal_form_and_the_hash() -> None:
    normal = (
        "[Unit]\nDescription=Hello, world\nAfter=network.target\nWants=podman.service\n\n"
        "[Service]\nExecStart=/bin/sh -c 'while true; do \\\n    echo hello; \\\n    sleep 1; done'\n"
        'Environment=A=1 B="x y"\nEnvironment=\n'
    )
    parsed = parse_unit(HELLO, source="x.service")
    assert serialize(parsed.options) == normal
    assert unit_hash(parsed.options) == hashlib.sha1(normal.encode()).hexdigest()
    assert unit_hash([]) == "da39a3ee5e6b4b0d3255bfef95601890afd80709"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[S]\nA=x\\\n\nB=y", "x\\\n"),
        ("[S]\nA=x\\", "x\\"),
        ("[S]\nA=x\\\n# not a comment here\n", "x\\\n# not a comment here"),
        ("[S]\r\nA=x \\\r\n y\r\n", "x \\\n y"),
        ("[S]\nA = \t x=y = z \n", "x=y = z"),
        ("[S]\nA=", ""),
    ],
)
def test_values(text: str, value: str) -> None:
    assert options(text)[0] == ("S", "A", value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A=1", "x.service:1: text before the first [Section]"),
        ("[A]\nB=1\nplain", "x.service:3: `plain` is no NAME=VALUE line"),
        ("[A]\n=1", "x.service:2: `=1` is no NAME=VALUE line"),
        ("[A\nB=1", "x.service:1: `[A` is no [Section] line"),
        ("[]", "x.service:1: `[]` is no [Section] line"),
        ("\n[A] b", "x.service:2: text behind [A]: `b`"),
        ("[A]\nB=\0", "x.service:2: a NUL character"),
        ("[A]\nB=" + "x" * (1 << 20), "x.service:2: longer than 1048576 characters"),
    ],
)
def test_errors_have_their_line(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_unit(text, source="x.service")
    assert str(caught.value) == message


def test_an_options_place() -> None:
    parsed = parse_unit(HELLO, source="x.service")
    assert str(parsed.where(parsed.options[3])) == "x.service:12"


LINE = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="\\"), min_size=1, max_size=9)
VALUE = st.lists(LINE, max_size=3).map(" \\\n ".join)
NAMES = st.sampled_from(["ExecStart", "Wants", "X-y"])
OPTIONS = st.lists(st.builds(Option, st.sampled_from(["Unit", "Service", "X-Fleet"]), NAMES, VALUE))


@given(OPTIONS)
def test_the_normal_form_is_read_back(written: list[Option]) -> None:
    normal = serialize(written)
    read = parse_unit(normal, source="x").options
    assert serialize(read) == normal
    assert sorted(read, key=repr) == sorted(written, key=repr)
    assert unit_hash(read) == unit_hash(written)


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parsed = parse_unit(text, source="x")
    except InputError:
        return
    assert len(parsed.options) == len(parsed.lines)
    assert parse_unit(serialize(parsed.options), source="y").options is not None


def test_names() -> None:
    assert parse_name("web@eu.1.service") == UnitName(
        "web@eu.1.service", "web@eu.1", "web", "service", "eu.1"
    )
    assert parse_name("web@eu.service").template == "web@.service"
    assert parse_name("web@.service").is_template
    assert parse_name("web.socket") == UnitName("web.socket", "web", "web", "socket", None)
    assert parse_name("web.socket").template is None
    assert not parse_name("web.socket").is_template


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "no type"),
        ("web", "no type"),
        (".service", "no type"),
        ("web.", "`.` is no type"),
        ("web.exe", "`.exe` is no type"),
        ("web@1.mount", "a .mount has no templates"),
        ("we b.service", "must not contain ` `"),
        ("a/b.service", "must not contain `/`"),
        ("@1.service", "begins with @"),
        ("x" * 249 + ".service", "longer than 256"),
    ],
)
def test_bad_names(name: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        parse_name(name)
