"""Requests: from XML and to XML."""

from __future__ import annotations

from argosy.formats.omaha.elements import Element, document, parse, write
from argosy.formats.omaha.model import (
    Event,
    Ping,
    Progress,
    Request,
    RequestApp,
    Stage,
    System,
    UpdateCheck,
)

LIMIT_BYTES = 64 * 1024
"""The largest request that is read. update_engine's have less than two KiB."""


def decode_request(data: bytes, *, source: str = "request") -> Request:
    """Read a request. Raises `InputError` if it is no XML, too large, or not an Omaha request."""
    root = parse(data, "request", limit_bytes=LIMIT_BYTES, source=source)
    get = root.attributes.get
    system = root.child("os")
    return Request(
        apps=tuple(_read_app(app) for app in root.all("app")),
        system=_read_system(system) if system else System(),
        protocol=get("protocol", ""),
        version=get("version", ""),
        updater_version=get("updaterversion", ""),
        install_source=get("installsource", ""),
        is_machine=root.flag("ismachine"),
        session_id=get("sessionid", ""),
        request_id=get("requestid", ""),
        user_id=get("userid", ""),
        test_source=get("testsource", ""),
    )


def encode_request(request: Request) -> bytes:
    """The request as update_engine would write it."""
    attributes = {
        "protocol": request.protocol,
        "version": request.version,
        "updaterversion": request.updater_version,
        "installsource": request.install_source,
        "ismachine": "1" if request.is_machine else "0",
        "sessionid": request.session_id,
        "requestid": request.request_id,
        "userid": request.user_id,
        "testsource": request.test_source,
    }
    system = request.system
    os = {"version": system.version, "platform": system.platform, "sp": system.sp, "arch": system.arch}
    apps = [_write_app(app) for app in request.apps]
    return document(write("request", _without_empty(attributes), write("os", _without_empty(os)), *apps))


def _read_system(element: Element) -> System:
    get = element.attributes.get
    return System(get("platform", ""), get("version", ""), get("sp", ""), get("arch", ""))


def _read_app(element: Element) -> RequestApp:
    get = element.attributes.get
    ping, check = element.child("ping"), element.child("updatecheck")
    return RequestApp(
        app_id=get("appid", ""),
        version=get("version", ""),
        track=get("track", ""),
        from_track=get("from_track", ""),
        boot_id=get("bootid", ""),
        machine_id=get("machineid", ""),
        oem=get("oem", ""),
        oem_version=get("oemversion", ""),
        aleph_version=get("alephversion", ""),
        lang=get("lang", ""),
        board=get("board", ""),
        hardware_class=get("hardware_class", ""),
        alias=get("alias", ""),
        client=get("client", ""),
        next_version=get("nextversion", ""),
        delta_okay=element.flag("delta_okay"),
        ping=_read_ping(ping) if ping else None,
        update_check=UpdateCheck(check.attributes.get("targetversionprefix", "")) if check else None,
        events=tuple(_read_event(event) for event in element.all("event")),
    )


def _read_ping(element: Element) -> Ping:
    number = element.number
    return Ping(number("active"), number("a"), number("r"), _read_progress(element))


def _read_progress(element: Element) -> Progress | None:
    """A stage that we do not know is none."""
    get = element.attributes.get
    stage, percent = get("stage", ""), element.number("percent")
    if stage not in list(Stage):
        return None
    known = percent if percent is not None and 0 <= percent <= 100 else None
    return Progress(Stage(stage), get("nextversion", ""), known, get("reason", ""))


def _read_event(element: Element) -> Event:
    get = element.attributes.get
    return Event(
        type=element.number("eventtype") or 0,
        result=element.number("eventresult") or 0,
        error_code=element.number("errorcode") or 0,
        previous_version=get("previousversion", ""),
        next_version=get("nextversion", ""),
        reason=get("reason", ""),
    )


def _write_app(app: RequestApp) -> str:
    attributes = {
        "appid": app.app_id,
        "version": app.version,
        "track": app.track,
        "from_track": app.from_track,
        "bootid": app.boot_id,
        "machineid": app.machine_id,
        "oem": app.oem,
        "oemversion": app.oem_version,
        "alephversion": app.aleph_version,
        "lang": app.lang,
        "board": app.board,
        "hardware_class": app.hardware_class,
        "alias": app.alias,
        "client": app.client,
        "nextversion": app.next_version,
    }
    children = []
    if app.ping:
        children.append(_write_ping(app.ping))
    if app.update_check:
        prefix = app.update_check.target_version_prefix
        children.append(write("updatecheck", _without_empty({"targetversionprefix": prefix})))
    children += [_write_event(event) for event in app.events]
    delta = {"delta_okay": "true" if app.delta_okay else "false"}
    return write("app", _without_empty(attributes) | delta, *children)


def _write_ping(ping: Ping) -> str:
    numbers = {"active": ping.active, "a": ping.a, "r": ping.r}
    attributes = {key: str(value) for key, value in numbers.items() if value is not None}
    if progress := ping.progress:
        percent = "" if progress.percent is None else str(progress.percent)
        words = {"percent": percent, "nextversion": progress.version, "reason": progress.reason}
        attributes |= {"stage": str(progress.stage), **_without_empty(words)}
    return write("ping", attributes)


def _write_event(event: Event) -> str:
    numbers = {"eventtype": str(event.type), "eventresult": str(event.result)}
    words = {
        "errorcode": str(event.error_code) if event.error_code else "",
        "previousversion": event.previous_version,
        "nextversion": event.next_version,
        "reason": event.reason,
    }
    return write("event", numbers | _without_empty(words))


def _without_empty(attributes: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in attributes.items() if value}
