"""What is asked, read from a request; the refusals are etcd's where it has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.formats.discovery import Code
from argosy.server.discovery.model import Delete, Get, Limits, Put, Request, Wait
from argosy.server.discovery.request import RefusedError, fields_of, read_request, read_size

LIMITS = Limits()

# Verbatim what etcd 3.5 sends while it bootstraps.
ETCD_ASKS = [
    ("GET", "_config/size", "quorum=false&recursive=false&sorted=false", b"", Get("_config/size")),
    ("GET", "", "quorum=false&recursive=false&sorted=false", b"", Get("")),
    (
        "PUT",
        "16e16f21fa9ab73f",
        "prevExist=false",
        b"value=one%3Dhttp%3A%2F%2F127.0.0.1%3A2380",
        Put("16e16f21fa9ab73f", "one=http://127.0.0.1:2380", exists=False),
    ),
    (
        "GET",
        "16e16f21fa9ab73f",
        "recursive=false&wait=true&waitIndex=7",
        b"",
        Wait("16e16f21fa9ab73f", False, 7),
    ),
    ("GET", "", "recursive=true&wait=true&waitIndex=8", b"", Wait("", True, 8)),
]

OTHERS = [
    ("GET", "", "wait=1&waitIndex=0", b"", Wait("", False, None)),
    ("GET", "", "wait=true&quorum=true", b"", Get("")),
    ("PUT", "a", "value=query", b"value=form", Put("a", "form")),
    ("PUT", "a", "prevExist=T&prevIndex=4&prevValue=old", b"value=v", Put("a", "v", True, "old", 4)),
    ("PUT", "a", "prevIndex=0", b"value=v", Put("a", "v")),
    ("PUT", "ü", "", "value=é%26".encode(), Put("ü", "é&")),
    ("DELETE", "a", "prevIndex=3", b"", Delete("a", None, 3)),
]


@pytest.mark.parametrize(("method", "path", "query", "form", "expected"), ETCD_ASKS + OTHERS)
def test_reads(method: str, path: str, query: str, form: bytes, expected: Request) -> None:
    assert read_request(method, path, fields_of(query, form), LIMITS) == expected


@pytest.mark.parametrize(
    ("method", "path", "query", "form", "code", "cause"),
    [
        ("GET", "", "quorum=zz", b"", Code.INVALID_FIELD, 'invalid value for "quorum"'),
        ("GET", "", "recursive=", b"", Code.INVALID_FIELD, 'invalid value for "recursive"'),
        ("GET", "", "sorted=yes", b"", Code.INVALID_FIELD, 'invalid value for "sorted"'),
        ("GET", "", "wait=tRUE", b"", Code.INVALID_FIELD, 'invalid value for "wait"'),
        ("GET", "", "waitIndex=-1", b"", Code.INDEX_NOT_A_NUMBER, 'invalid value for "waitIndex"'),
        ("GET", "", "waitIndex=", b"", Code.INDEX_NOT_A_NUMBER, 'invalid value for "waitIndex"'),
        ("GET", "", "waitIndex=%2B1", b"", Code.INDEX_NOT_A_NUMBER, 'invalid value for "waitIndex"'),
        (
            "GET",
            "",
            "waitIndex=9223372036854775808",
            b"",
            Code.INDEX_NOT_A_NUMBER,
            'invalid value for "waitIndex"',
        ),
        ("GET", "", "wait=true&stream=true", b"", Code.INVALID_FIELD, '"stream" is not supported'),
        (
            "PUT",
            "a",
            "wait=true",
            b"value=x",
            Code.INVALID_FIELD,
            '"wait" can only be used with GET requests',
        ),
        ("PUT", "a", "prevExist=", b"value=x", Code.INVALID_FIELD, "invalid value for prevExist"),
        ("PUT", "a", "prevIndex=x", b"value=x", Code.INDEX_NOT_A_NUMBER, 'invalid value for "prevIndex"'),
        ("PUT", "a", "prevValue=", b"value=x", Code.PREVIOUS_VALUE_REQUIRED, '"prevValue" cannot be empty'),
        ("PUT", "a", "", b"", Code.VALUE_REQUIRED, '"value" cannot be empty'),
        ("PUT", "a", "", b"value=%zz", Code.INVALID_FORM, 'invalid URL escape "%zz"'),
        ("PUT", "a", "", b"value=%ff", Code.INVALID_FORM, "a field is not UTF-8"),
        ("PUT", "a", "", b"value=\xff", Code.INVALID_FORM, "the form is not UTF-8"),
        ("PUT", "a", "", b"a=1&" * 33, Code.INVALID_FORM, "more than 32 fields"),
        ("PUT", "a", "", b"value=x%00", Code.INVALID_FIELD, '"value" holds a zero byte'),
        (
            "PUT",
            "a",
            "ttl=5",
            b"value=x",
            Code.INVALID_FIELD,
            '"ttl" is not supported: registrations do not expire',
        ),
        ("PUT", "a", "dir=true", b"", Code.INVALID_FIELD, '"dir" is not supported'),
        ("PUT", "_a", "", b"value=x", Code.INVALID_FIELD, 'a member\'s name must not begin with "_"'),
        ("PUT", "..", "", b"value=x", Code.INVALID_FIELD, "a member's name holds what a key must not"),
        ("PUT", "a\n", "", b"value=x", Code.INVALID_FIELD, "a member's name holds what a key must not"),
        (
            "PUT",
            "a" * 129,
            "",
            b"value=x",
            Code.INVALID_FIELD,
            "a member's name is longer than 128 characters",
        ),
        (
            "PUT",
            "a",
            "",
            b"value=" + b"x" * 8193,
            Code.INVALID_FIELD,
            '"value" is longer than 8192 characters',
        ),
    ],
)
def test_refuses(method: str, path: str, query: str, form: bytes, code: Code, cause: str) -> None:
    with pytest.raises(RefusedError) as refused:
        read_request(method, path, fields_of(query, form), LIMITS)
    assert (refused.value.code, refused.value.cause) == (code, cause)


def test_the_longest_name_and_value_are_taken() -> None:
    asked = read_request("PUT", "a" * 128, {"value": "x" * 8192}, LIMITS)
    assert asked == Put("a" * 128, "x" * 8192)


@given(
    st.sampled_from(["GET", "PUT", "DELETE"]),
    st.text(max_size=20),
    st.text(max_size=60),
    st.binary(max_size=60),
)
def test_anything_is_read_or_refused(method: str, path: str, query: str, form: bytes) -> None:
    try:
        asked = read_request(method, path, fields_of(query, form), LIMITS)
    except RefusedError as error:
        assert error.cause
    else:
        assert asked.path == path


@pytest.mark.parametrize(("text", "size"), [("", 3), ("1", 1), ("100", 100), ("007", 7)])
def test_size(text: str, size: int) -> None:
    assert read_size({"size": text}, LIMITS) == size


@pytest.mark.parametrize("text", ["0", "-1", "101", "1.5", "abc", " 3", "0x3", "1_0", "³", "9" * 30])
def test_wrong_size(text: str) -> None:
    with pytest.raises(ValueError, match="size must be"):
        read_size({"size": text}, LIMITS)
