"""What real clients and servers said is read, and keeps its meaning when it is written again."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conformance import FOLDER

from argosy.base.errors import InputError
from argosy.formats.omaha.codes import ErrorCode, EventResult, EventType, error_of
from argosy.formats.omaha.model import Event, Ping, UpdateCheck
from argosy.formats.omaha.request import decode_request, encode_request
from argosy.formats.omaha.response import decode_response, encode_response

CAPTURES = sorted((FOLDER / "omaha").glob("*.xml"))
MALFORMED = {"002-response-go-omaha-fixtures-update-engine-no-update-response-xml.xml"}


def capture(number: int) -> bytes:
    found = [path for path in CAPTURES if path.name.startswith(f"{number:03d}-")]
    if not found:
        pytest.skip("the Omaha captures are not beside this checkout")
    return found[0].read_bytes()


def test_there_are_captures() -> None:
    if not CAPTURES:
        pytest.skip("the Omaha captures are not beside this checkout")
    assert len(CAPTURES) > 20


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.name[:20])
def test_a_capture_keeps_its_meaning(path: Path) -> None:
    data = path.read_bytes()
    if path.name in MALFORMED:
        with pytest.raises(InputError, match="not XML"):
            decode_response(data)
    elif "-request" in path.name:
        request = decode_request(data)
        assert decode_request(encode_request(request)) == request
        assert request.protocol == "3.0"
    else:
        response = decode_response(data)
        assert decode_response(encode_response(response)) == response
        assert response.protocol == "3.0"


def test_the_first_request_of_a_coreos_machine() -> None:
    request = decode_request(capture(101))
    (app,) = request.apps
    assert (request.updater_version, request.install_source) == ("update_engine-0.4.10", "ondemandupdate")
    assert (request.system.platform, request.system.sp) == ("CoreOS", "1.0.0_x86_64")
    assert (app.track, app.machine_id) == ("stable", "3d1219c7c4c5404aaa1f6d2a48adfda4")
    assert (app.ping, app.update_check) == (Ping(active=1), UpdateCheck())
    assert app.events == (
        Event(EventType.UPDATE_COMPLETE, EventResult.SUCCESS_REBOOT, previous_version="0.0.0.0"),
    )


def test_the_answer_with_an_update() -> None:
    update = decode_response(capture(102)).apps[0].update
    assert update is not None
    assert update.manifest is not None
    (package,), (action,) = update.manifest.packages, update.manifest.actions
    assert update.urls == ("http://127.0.0.1:18301/packages/",)
    assert (update.manifest.version, package.name, package.size_bytes) == ("2.0.0", "update.gz", 3852543)
    assert package.sha1 == "V06eiIrnccEWQQB24nzPu3DAs5k="
    assert action.sha256 == "Esi4mNdDiG+JbCiX9lmCXMuvP637AQRE5hoVVlpA9js="
    assert action.disable_payload_backoff


def test_a_bad_signature_is_told_by_its_code() -> None:
    (event,) = decode_request(capture(113)).apps[0].events
    assert error_of(event.error_code) == ErrorCode.SIGNATURE_VERIFICATION
