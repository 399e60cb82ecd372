"""[X-Fleet]: what it says, what it must not say, and the globs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.base.errors import InputError
from argosy.formats.requirements import (
    Requirements,
    compile_glob,
    literal_prefix,
    requirements,
    substitute,
)
from argosy.formats.unit import parse_name, parse_unit


def read(section: str, name: str = "web@1.service") -> Requirements:
    file = parse_unit(f"[Service]\nExecStart=/bin/true\n[X-Fleet]\n{section}", source=name)
    return requirements(parse_name(name), file.options, file=file)


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("", Requirements()),
        ("MachineID=abc", Requirements(machine_id="abc")),
        ("X-ConditionMachineID=abc", Requirements(machine_id="abc")),
        ("X-ConditionMachineBootID=abc", Requirements(machine_id="abc")),
        ("MachineOf=%p@2.service", Requirements(peers=("web@2.service",))),
        (
            "X-ConditionMachineOf=a.service\nMachineOf=b.service",
            Requirements(peers=("a.service", "b.service")),
        ),
        ("Conflicts=%p@*.service", Requirements(conflicts=("web@*.service",))),
        (
            "Conflicts=a* b*\nX-Conflicts=%n",
            Requirements(conflicts=("a*", "b*", "web@1.service"), single="its Conflicts names itself"),
        ),
        ("Replaces=%N.socket", Requirements(replaces=("web@1.socket",))),
        ("Global=true", Requirements(is_global=True)),
        ("Global=YES\nGlobal=false", Requirements()),
        ("Global=on\nConflicts=x", Requirements(is_global=True, conflicts=("x",))),
        (
            'MachineMetadata="a=1" "b=2"\nMachineMetadata=a=3',
            Requirements(metadata=(("a", frozenset("13")), ("b", frozenset("2")))),
        ),
        ("MachineMetadata=zone=%i", Requirements(metadata=(("zone", frozenset("1")),))),
        ("Speed=11", Requirements(unknown=("Speed",))),
    ],
)
def test_what_it_says(section: str, expected: Requirements) -> None:
    assert read(section) == expected


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("MachineID=a\nMachineOf=b", "web@1.service:5: MachineID cannot be used with MachineOf"),
        ("MachineID=a\nConflicts=b", "web@1.service:5: MachineID cannot be used with Conflicts"),
        ("Global=1\nMachineID=b", "web@1.service:4: MachineID cannot be used with Global"),
        ("MachineID=a\nReplaces=b", "web@1.service:5: MachineID cannot be used with Replaces"),
        ("Global=1\nMachineOf=b", "web@1.service:5: Global cannot be used with MachineOf"),
        ("Global=1\nReplaces=b", "web@1.service:5: Global cannot be used with Replaces"),
        ("Conflicts=a\nReplaces=b", "web@1.service:5: Conflicts cannot be used with Replaces"),
        (
            "MachineOf=db.service\nConflicts=d*",
            "MachineOf=db.service can never hold: Conflicts=d* matches it",
        ),
        ("MachineMetadata=a", "MachineMetadata: `a` is not KEY=VALUE"),
        ("MachineMetadata=a=1 b=2", "MachineMetadata: `a=1 b=2` is not KEY=VALUE"),
        ("Conflicts=[a", "web@1.service:4: `[a` is not a pattern"),
    ],
)
def test_what_it_must_not_say(section: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(section)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "single"),
    [
        ("[Service]\nType=simple\n", False),
        ("[Service]\nType=oneshot\n", True),
        ("[Service]\nType=oneshot\nRemainAfterExit=yes\n", False),
        ("[Service]\n[X-Fleet]\nConflicts=web@*.service\n", False),
        ("[Service]\n[X-Fleet]\nConflicts=web@2.service\n", False),
        ("[Service]\n[X-Fleet]\nConflicts=other.service %n\n", True),
    ],
)
def test_units_that_must_not_run_in_two_places(text: str, single: bool) -> None:
    file = parse_unit(text, source="test")
    assert bool(requirements(parse_name("web@1.service"), file.options).single) == single


def test_specifiers() -> None:
    name = parse_name("web@eu.service")
    assert substitute("%n %N %p %i %% %x %%i", name) == "web@eu.service web@eu web eu % %x %i"
    assert substitute("%p-%i", parse_name("web.service")) == "web-"


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("hello@*.service", ["hello@1.service", "hello@.service"], ["hello.service", "xhello@1.service"]),
        ("a?.service", ["ab.service"], ["a.service", "abc.service"]),
        ("[a-c]1", ["a1", "c1"], ["d1", "-1"]),
        ("[^a-c]1", ["d1"], ["a1"]),
        ("[!a]1", ["b1"], ["a1"]),
        ("a\\*b", ["a*b"], ["axb"]),
        ("a\\x2db", ["ax2db"], ["a\\x2db"]),
        ("a.b", ["a.b"], ["axb"]),
        ("", [""], ["a"]),
    ],
)
def test_globs(pattern: str, matching: list[str], other: list[str]) -> None:
    assert all(compile_glob(pattern).match(name) for name in matching)
    assert not any(compile_glob(pattern).match(name) for name in other)


@given(st.text("ab*?[]^!-\\.", max_size=8), st.text("ab.-", max_size=6))
def test_a_match_begins_with_the_literal_prefix(pattern: str, name: str) -> None:
    try:
        glob = compile_glob(pattern)
    except InputError:
        return
    if glob.match(name):
        assert name.startswith(literal_prefix(pattern))
