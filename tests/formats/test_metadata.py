"""The metadata of a machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.base.errors import InputError
from argosy.formats.metadata import Metadata, format_metadata, parse_metadata


@given(st.builds(Metadata))
def test_what_is_written_is_read(metadata: Metadata) -> None:
    assert parse_metadata(format_metadata(metadata), source="x") == metadata


def test_missing_fields_are_empty_and_unknown_ones_are_let_pass() -> None:
    read = parse_metadata(b'{"private_ipv4": "172.17.8.101", "region": "eu"}', source="x")
    assert read == Metadata(private_ipv4="172.17.8.101")
    assert read.addresses() == {"private_ipv4": "172.17.8.101"}


@pytest.mark.parametrize("data", [b"", b"[]", b'{"hostname": 3}', b'{"ssh_authorized_keys": "k"}'])
def test_other_shapes_are_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        parse_metadata(data, source="argosy.metadata")
