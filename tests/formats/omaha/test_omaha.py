"""Omaha's XML: whatever is written is read back, and what is no Omaha, or hostile, is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.base.errors import InputError
from argosy.formats.omaha.codes import describe_error, error_of
from argosy.formats.omaha.elements import parse, write
from argosy.formats.omaha.model import (
    Action,
    Event,
    Manifest,
    Package,
    Ping,
    Progress,
    Request,
    RequestApp,
    Response,
    ResponseApp,
    Stage,
    System,
    UpdateAnswer,
    UpdateCheck,
    Withdrawn,
)
from argosy.formats.omaha.request import LIMIT_BYTES, decode_request, encode_request
from argosy.formats.omaha.response import decode_response, encode_response

# All that XML 1.0 can hold; line ends and tabs too, which are written as references.
words = st.text(
    st.characters(
        exclude_categories=("Cs",), exclude_characters="".join(map(chr, range(32))) + "\ufffe\uffff"
    )
    | st.sampled_from("\n\t<>&\"'"),
    max_size=20,
)
numbers = st.integers(0, 10**12)
options = st.none() | numbers
events = st.builds(Event, numbers, numbers, numbers, words, words, words)
progresses = st.builds(Progress, st.sampled_from(Stage), words, st.none() | st.integers(0, 100), words)
apps = st.builds(
    RequestApp,
    app_id=words,
    version=words,
    track=words,
    boot_id=words,
    machine_id=words,
    oem=words,
    delta_okay=st.booleans(),
    ping=st.none()
    | st.builds(Ping, options, st.none() | st.integers(-1, 99), options, st.none() | progresses),
    update_check=st.none() | st.builds(UpdateCheck, words),
    events=st.lists(events, max_size=3).map(tuple),
)
requests = st.builds(
    Request,
    apps=st.lists(apps, max_size=3).map(tuple),
    system=st.builds(System, words, words, words, words),
    version=words,
    updater_version=words,
    install_source=words,
    is_machine=st.booleans(),
)
manifests = st.builds(
    Manifest,
    words,
    st.lists(st.builds(Package, words, numbers, words, words, st.booleans()), max_size=2).map(tuple),
    st.lists(
        st.builds(
            Action,
            event=words,
            sha256=words,
            display_version=words,
            needs_admin=st.booleans(),
            is_delta=st.booleans(),
            disable_payload_backoff=st.booleans(),
            max_failure_count_per_url=options,
            metadata_size_bytes=options,
            deadline=words,
            prompt=st.booleans(),
            more_info=words,
        ),
        max_size=2,
    ).map(tuple),
    words,
)
updates = st.builds(
    UpdateAnswer, words, st.lists(words, max_size=3).map(tuple), st.none() | manifests, options, words
)
counts = st.integers(0, 3)
withdrawn = st.none() | st.builds(Withdrawn, words.filter(bool), words)
answers = st.builds(ResponseApp, words, words, st.booleans(), st.none() | updates, counts) | st.builds(
    ResponseApp, words, words, st.just(True), st.none() | updates, counts, withdrawn
)
responses = st.builds(
    Response,
    st.lists(answers, max_size=2).map(tuple),
    server=words,
    elapsed_seconds=st.integers(0, 86399),
)


@given(requests)
def test_requests_are_read_as_they_were_written(request: Request) -> None:
    assert decode_request(encode_request(request)) == request


@given(responses)
def test_answers_are_read_as_they_were_written(response: Response) -> None:
    assert decode_response(encode_response(response)) == response


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(InputError):
        decode_request(data)


def test_what_xml_cannot_hold_is_replaced() -> None:
    text = write("a", {"b": "\0\x1b\ud800\r"})
    assert parse(text.encode(), "a", limit_bytes=100, source="x").attributes == {"b": "\ufffd" * 4}


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE request [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
    b'<request protocol="&b;"/>'
)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "request:1:1: not XML: no element found"),
        (b"<request", "not XML: unclosed token"),
        (b"<request/><request/>", "not XML: junk after document element"),
        (b"<response/>", "the document is a <response>, not a <request>"),
        (BOMB, "a document type is not allowed"),
        (b"<!DOCTYPE request SYSTEM 'file:///etc/passwd'><request/>", "a document type is not allowed"),
        (BOMB.decode().encode("utf-16"), "a document type is not allowed"),
        (b'<?xml version="1.0" encoding="utf-7"?>+ADw-request/+AD4-', "not XML"),
        (b"<request>" + b"<app>" * 20, "nested more than 16 deep"),
        (b"<request>" + b"<app/>" * 2000 + b"</request>", "more than 2000 elements"),
        (b"<request>" + b" " * LIMIT_BYTES + b"</request>", f"more than {LIMIT_BYTES} bytes"),
    ],
)
def test_what_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        decode_request(data)
    assert message in str(caught.value)


def test_numbers_that_are_none_are_passed_over() -> None:
    request = decode_request(b'<request><app><ping active="x"/><event eventtype="-"/></app></request>')
    assert request.apps[0].ping == Ping()
    assert request.apps[0].events == (Event(0, 0),)


@pytest.mark.parametrize(
    ("attributes", "progress"),
    [
        ('stage="dancing" percent="3"', None),
        ('stage="downloading" percent="101"', Progress(Stage.DOWNLOADING, "")),
        ('stage="downloading" percent="-1" nextversion="2.0.0"', Progress(Stage.DOWNLOADING, "2.0.0")),
        ('stage="installed" reason="why"', Progress(Stage.INSTALLED, "", reason="why")),
    ],
)
def test_progress_that_is_none_is_passed_over(attributes: str, progress: Progress | None) -> None:
    request = decode_request(f'<request><app><ping {attributes} active="1"/></app></request>'.encode())
    assert request.apps[0].ping == Ping(1, progress=progress)


def test_flags_in_all_spellings() -> None:
    for text, value in (("true", True), ("True", True), ("1", True), ("false", False), ("", False)):
        data = f'<request><app delta_okay="{text}"/></request>'.encode()
        assert decode_request(data).apps[0].delta_okay is value


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (268435474, 18, "signature verification (18)"),
        (268435461, 5, "postinstall (5)"),
        (2404, 2404, "the server answered with HTTP 404 (2404)"),
        (1010, 1010, "boot failed (1010)"),
        (777, 777, "error 777"),
    ],
)
def test_error_codes_in_words(number: int, code: int, words: str) -> None:
    assert error_of(number) == code
    assert describe_error(number) == words
