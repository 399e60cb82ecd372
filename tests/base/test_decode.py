"""Values from outside: accepted as they are, or refused with the place."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.base.decode import convert, decode_json, encode_json
from argosy.base.errors import InputError


@dataclass(frozen=True)
class Disk:
    size_bytes: int
    label: str = ""


@dataclass(frozen=True)
class Machine:
    name: str
    disks: list[Disk]


def test_decodes_nested_types() -> None:
    text = '{"name": "core-01", "disks": [{"size_bytes": 512}]}'
    assert decode_json(text, Machine, source="m.json") == Machine("core-01", [Disk(512)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "a", "disks": [{"size_bytes": "512"}]}', "m.json: Expected `int`, got `str`"),
        ('{"name": "a"}', "m.json: Object missing required field `disks`"),
        ('{"name": "a",', "m.json: Input data was truncated"),
        (b'{"name": "\xff"}', "m.json: "),
        ("", "m.json: Input data was truncated"),
    ],
)
def test_refuses_other_shapes(text: str | bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        decode_json(text, Machine, source="m.json")
    assert str(caught.value).startswith(message)


def test_names_the_place_inside() -> None:
    with pytest.raises(InputError, match=r"at \$\.disks\[1\]\.size_bytes"):
        convert({"name": "a", "disks": [{"size_bytes": 1}, {"size_bytes": None}]}, Machine, source="m")


def test_never_coerces() -> None:
    with pytest.raises(InputError):
        convert({"size_bytes": "512"}, Disk, source="m")
    with pytest.raises(InputError):
        convert({"size_bytes": True}, Disk, source="m")


@given(
    st.builds(Machine, st.text(), st.lists(st.builds(Disk, st.integers(-(2**63), 2**63 - 1), st.text()))),
    st.booleans(),
)
def test_what_was_encoded_decodes_to_itself(machine: Machine, pretty: bool) -> None:
    assert decode_json(encode_json(machine, pretty=pretty), Machine, source="m") == machine
