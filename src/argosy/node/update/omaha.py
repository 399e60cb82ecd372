"""The edge to the update service: Omaha requests by HTTP POST, and what their answers mean here."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from dataclasses import replace

from argosy.base.errors import ArgosyError, InputError
from argosy.formats.omaha import model
from argosy.formats.omaha.request import encode_request
from argosy.formats.omaha.response import LIMIT_BYTES, decode_response
from argosy.formats.version import parse_version
from argosy.node.update.fetch import opener
from argosy.node.update.model import DEFAULT_FAILURES_PER_URL, Answer, Machine, Offer
from argosy.node.update.problems import Code, Problem, UpdateError, problem
from argosy.node.updateconf import is_http_url

CLIENT = "update_engine-0.4.10"
"""What the original calls itself; servers of its time look at it."""

_TIMEOUT_S = 60.0
_READ_BYTES = 64 << 10
_MAX_URLS = 16
_MAX_SIZE_BYTES = 4 << 30
# Answers in which a service says that it has too much to do, or is broken.
_BUSY = frozenset((429, 500, 502, 503, 504))


def request(
    machine: Machine,
    *,
    events: tuple[model.Event, ...] = (),
    check: bool = False,
    on_demand: bool = False,
    ping: bool = True,
    pin: str = "",
    progress: model.Progress | None = None,
) -> model.Request:
    """A request as update_engine makes it. Pure."""
    app = model.RequestApp(
        app_id=machine.application,
        version=machine.version,
        track=machine.group,
        boot_id=f"{{{machine.boot_id}}}" if machine.boot_id else "",
        machine_id=machine.machine_id,
        oem=machine.oem,
        oem_version=machine.oem_version,
        aleph_version=machine.first_version,
        lang="en-US",
        board=machine.board,
        alias=machine.host_name,
        ping=model.Ping(active=1, progress=progress) if ping else None,
        update_check=model.UpdateCheck(pin) if check else None,
        events=events,
    )
    return model.Request(
        apps=(app,),
        system=model.System(platform=model.PLATFORM, version="Chateau", sp=f"{machine.version}_x86_64"),
        version=CLIENT,
        updater_version=CLIENT,
        install_source=model.ON_DEMAND if on_demand else model.SCHEDULER,
        is_machine=True,
    )


def ask(server: str, message: model.Request, timeout_s: float = _TIMEOUT_S) -> Answer:
    """Send a request and understand the answer; whatever fails is told by `Answer.problem`."""
    application = message.apps[0].app_id
    try:
        data = _post(server, encode_request(message), timeout_s)
        response = decode_response(data, source=server)
        checked = message.apps[0].update_check is not None
        answer = understand(response, application, checked=checked)
        return replace(answer, reads_progress=response.server == model.SERVER)
    except _StatusError as error:
        return Answer(
            error.message, problem=error.problem, busy=error.busy, retry_after_s=error.retry_after_s
        )
    except UpdateError as error:
        return Answer(error.message, problem=error.problems[0])
    except InputError as error:
        found = problem(Code.BAD_ANSWER, f"the update service's answer cannot be used: {error}")
        return Answer(found.sentence, problem=found)


def understand(response: model.Response, application: str, *, checked: bool) -> Answer:
    """What an answer means. Pure. Raises `UpdateError` or `InputError` if it cannot be used."""
    app = next((app for app in response.apps if app.app_id.lower() == application.lower()), None)
    if app is None:
        raise _bad("it says nothing about this machine's application")
    if app.status != model.OK:
        raise UpdateError(
            problem(Code.REFUSED_BY_SERVICE, f"the update service refuses this machine: {app.status}")
        )
    if not checked:
        return Answer("the update service has heard from this machine", heard=True, withdrawn=app.withdrawn)
    update = app.update
    if update is None:
        raise _bad("it says nothing about updates")
    if update.status == model.NO_UPDATE:
        return Answer(
            update.reason or "the update service has no update for this machine",
            poll_s=update.poll_interval_s,
            heard=True,
        )
    if update.status != model.OK:
        sentence = f"the update service failed: {update.status} {update.reason}".rstrip()
        found = problem(Code.REFUSED_BY_SERVICE, sentence)
        return Answer(sentence, poll_s=update.poll_interval_s, heard=True, problem=found)
    offer = _offer(update)
    return Answer(
        update.reason or f"version {offer.version} is there", offer, update.poll_interval_s, heard=True
    )


def _offer(update: model.UpdateAnswer) -> Offer:
    manifest = update.manifest
    if manifest is None or not manifest.packages:
        raise _bad("it offers an update without a package")
    parse_version(manifest.version)
    if manifest.floor:
        parse_version(manifest.floor)
    package = manifest.packages[0]
    urls = tuple(_joined(base, package.name) for base in update.urls)[:_MAX_URLS]
    if not urls or not all(is_http_url(url) for url in urls):
        raise _bad("it offers an update without an http or https address")
    if not 0 < package.size_bytes <= _MAX_SIZE_BYTES:
        raise _bad(f"it offers a payload of {package.size_bytes} bytes")
    action = next((each for each in manifest.actions if each.event == "postinstall"), model.Action())
    limit = action.max_failure_count_per_url
    return Offer(
        version=manifest.version,
        urls=urls,
        size_bytes=package.size_bytes,
        payload=package.sha256 or action.sha256 or package.sha1 or manifest.version,
        floor=manifest.floor,
        disable_backoff=action.disable_payload_backoff,
        failures_per_url=limit if limit and 0 < limit <= 1000 else DEFAULT_FAILURES_PER_URL,
    )


def _joined(base: str, name: str) -> str:
    return base.rstrip("/") + "/" + name.lstrip("/")


class _StatusError(ArgosyError):
    def __init__(self, found: Problem, *, busy: bool, retry_after_s: int | None) -> None:
        super().__init__(found.sentence)
        self.problem = found
        self.busy = busy
        self.retry_after_s = retry_after_s


def _bad(what: str) -> UpdateError:
    return UpdateError(problem(Code.BAD_ANSWER, f"the update service's answer cannot be used: {what}"))


def _post(server: str, body: bytes, timeout_s: float) -> bytes:
    headers = {"Content-Type": "text/xml; charset=utf-8", "User-Agent": CLIENT}
    message = urllib.request.Request(server, data=body, headers=headers, method="POST")
    try:
        with opener().open(message, timeout=timeout_s) as response:
            return _read(response, server, timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            raise _status(server, error) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        sentence = f"the update service {server} cannot be reached: {reason or type(error).__name__}"
        raise UpdateError(problem(Code.NO_ANSWER, sentence)) from error


def _read(response: http.client.HTTPResponse, server: str, timeout_s: float) -> bytes:
    """The whole answer: not endless, and not forever."""
    data, since_s = bytearray(), time.monotonic()
    while piece := response.read1(_READ_BYTES):
        data += piece
        if len(data) > LIMIT_BYTES:
            raise _bad(f"it has more than {LIMIT_BYTES} bytes")
        if time.monotonic() - since_s > timeout_s:
            raise TimeoutError(f"{server} took longer than {timeout_s:g} s to answer")
    if response.length:
        raise http.client.IncompleteRead(bytes(data), response.length)
    return bytes(data)


def _status(server: str, error: urllib.error.HTTPError) -> _StatusError:
    sentence = f"the update service {server} answered with HTTP {error.code}"
    wait = error.headers.get("Retry-After", "")
    return _StatusError(
        problem(Code.ANSWER_STATUS, sentence),
        busy=error.code in _BUSY,
        retry_after_s=int(wait) if wait.isdecimal() and len(wait) < 9 else None,
    )
