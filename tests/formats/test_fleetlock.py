"""FleetLock's requests and reasons."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.formats.fleetlock import (
    CLIENTS,
    STATUS,
    Client,
    FleetLockError,
    Kind,
    client_key,
    decode_client,
    encode_reason,
)

# The example of the protocol's document, with a field of tomorrow.
EXAMPLE = b"""
{ "client_params": { "group": "workers", "id": "c988d2509fdf4cdcbed39037c56406fb", "more": 1 }, "version": 2 }
"""


def body(**params: object) -> bytes:
    return json.dumps({"client_params": params}).encode()


def test_the_protocols_example() -> None:
    assert decode_client("true", EXAMPLE) == Client("c988d2509fdf4cdcbed39037c56406fb", "workers")


@pytest.mark.parametrize(
    ("header", "text", "words"),
    [
        (None, EXAMPLE, "the header `fleet-lock-protocol: true` is missing"),
        ("True", EXAMPLE, "is missing"),
        ("true", b"", "cannot be understood"),
        ("true", b"\xff{", "cannot be understood"),
        ("true", b"[]", "cannot be understood"),
        ("true", b"{}", "client_params"),
        ("true", body(id="a"), "group"),
        ("true", body(group="a"), "id"),
        ("true", body(id=1, group="a"), "id"),
        ("true", body(id="", group="a"), "`id` must be"),
        ("true", body(id="a\nb", group="a"), "`id` must be"),
        ("true", body(id="a" * 256, group="a"), "`id` must be"),
        ("true", body(id="a", group=""), "`group` must be"),
        ("true", body(id="a", group="a/b"), "`group` must be"),
        ("true", body(id="a", group="a\n"), "`group` must be"),
    ],
)
def test_who_does_not_say_who_it_is(header: str | None, text: bytes, words: str) -> None:
    with pytest.raises(FleetLockError) as caught:
        decode_client(header, text)
    assert caught.value.kind is Kind.INVALID_CLIENT_IDENTITY
    assert words in caught.value.message


@given(st.binary())
def test_whatever_is_sent_is_a_client_or_a_reason(text: bytes) -> None:
    try:
        decode_client("true", text)
    except FleetLockError as error:
        assert error.message


def test_a_reason_is_the_protocols() -> None:
    text = encode_reason(FleetLockError(Kind.FAILED_LOCK, "the lock is held by a"))
    assert json.loads(text) == {"kind": "failed_lock", "value": "the lock is held by a"}
    assert set(STATUS) == set(Kind)
    assert all(400 <= status < 600 for status in STATUS.values())


@given(st.text(min_size=1))
def test_every_client_has_a_key_of_its_own(client_id: str) -> None:
    key = client_key(client_id)
    assert key.startswith(CLIENTS)
    assert "/" not in key.removeprefix(CLIENTS)
