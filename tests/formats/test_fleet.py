"""fleet's API entities as JSON, and page tokens."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.base.decode import decode_json, encode_json
from argosy.base.errors import InputError
from argosy.formats.fleet import (
    JobRecord,
    MachineEntity,
    PatchOperation,
    UnitEntity,
    UnitPage,
    UnitStateEntity,
    UnitTarget,
    decode_page_token,
    encode_page_token,
)
from argosy.formats.unit import Option


def test_names_of_fields_are_fleets() -> None:
    unit = UnitEntity("a.service", [Option("Service", "ExecStart", "/x")], "launched", "loaded", "m1")
    assert encode_json(UnitPage([unit], "t")) == (
        b'{"units":[{"name":"a.service","options":[{"section":"Service","name":"ExecStart","value":"/x"}],'
        b'"desiredState":"launched","currentState":"loaded","machineID":"m1"}],"nextPageToken":"t"}'
    )
    assert encode_json(MachineEntity("m", "1.2.3.4")) == b'{"id":"m","primaryIP":"1.2.3.4"}'
    state = UnitStateEntity("a.service", "h", "m", "loaded", "active", "running")
    assert encode_json(state) == (
        b'{"name":"a.service","hash":"h","machineID":"m","systemdLoadState":"loaded",'
        b'"systemdActiveState":"active","systemdSubState":"running"}'
    )


def test_both_spellings_of_a_patch() -> None:
    kind = list[PatchOperation]
    text = b'[{"op":"add","path":"/m/metadata/k","value":%s}]'
    assert msgspec.json.decode(text % b'"v"', type=kind)[0].text() == "v"
    assert msgspec.json.decode(text % b'{"value":"v"}', type=kind)[0].text() == "v"
    assert msgspec.json.decode(b'[{"op":"remove","path":"/m/metadata/k"}]', type=kind)[0].text() == ""


def test_a_record_of_an_unknown_state_is_refused() -> None:
    assert decode_json(b'{"hash":"h"}', JobRecord, source="job") == JobRecord("h", UnitTarget.INACTIVE)
    with pytest.raises(InputError, match="job: Invalid enum value 'flying'"):
        decode_json(b'{"hash":"h","target":"flying"}', JobRecord, source="job")


def test_a_token_of_the_original() -> None:
    assert encode_page_token(100, 2) == "ZAACAA=="


@given(st.integers(1, 65535), st.integers(1, 65535))
def test_tokens_are_read_back(limit: int, page: int) -> None:
    assert decode_page_token(encode_page_token(limit, page), limit) == page


@pytest.mark.parametrize("token", ["", "x", "ZAACAA", "AAAAAAAA", "ZAAAAA==", "ZQACAA==", "ä"])
def test_other_tokens_are_refused(token: str) -> None:
    with pytest.raises(InputError):
        decode_page_token(token, 100)
