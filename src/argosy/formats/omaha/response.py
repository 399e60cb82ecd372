"""Answers: from XML and to XML."""

from __future__ import annotations

from argosy.formats.omaha.elements import Element, document, parse, write
from argosy.formats.omaha.model import (
    Action,
    Manifest,
    Package,
    Response,
    ResponseApp,
    UpdateAnswer,
    Withdrawn,
)

LIMIT_BYTES = 1024 * 1024
"""The largest answer that is read, as much as update_engine reads."""


def decode_response(data: bytes, *, source: str = "response") -> Response:
    """Read an answer. Raises `InputError` if it is no XML, too large, or not an Omaha response."""
    root = parse(data, "response", limit_bytes=LIMIT_BYTES, source=source)
    day = root.child("daystart")
    return Response(
        apps=tuple(_read_app(app) for app in root.all("app")),
        protocol=root.attributes.get("protocol", ""),
        server=root.attributes.get("server", ""),
        elapsed_seconds=(day.number("elapsed_seconds") if day else None) or 0,
    )


def encode_response(response: Response) -> bytes:
    """The answer as stock clients read it."""
    attributes = {"protocol": response.protocol, "server": response.server}
    day = write("daystart", {"elapsed_seconds": str(response.elapsed_seconds)})
    return document(write("response", attributes, day, *(_write_app(app) for app in response.apps)))


def _read_app(element: Element) -> ResponseApp:
    update, ping = element.child("updatecheck"), element.child("ping")
    return ResponseApp(
        app_id=element.attributes.get("appid", ""),
        status=element.attributes.get("status", ""),
        ping=ping is not None,
        update=_read_update(update) if update else None,
        events=sum(1 for _ in element.all("event")),
        withdrawn=_read_withdrawn(ping) if ping else None,
    )


def _read_withdrawn(ping: Element) -> Withdrawn | None:
    version = ping.attributes.get("withdrawn", "")
    return Withdrawn(version, ping.attributes.get("reason", "")) if version else None


def _read_update(element: Element) -> UpdateAnswer:
    urls, manifest = element.child("urls"), element.child("manifest")
    return UpdateAnswer(
        status=element.attributes.get("status", ""),
        urls=tuple(url.attributes.get("codebase", "") for url in urls.all("url")) if urls else (),
        manifest=_read_manifest(manifest) if manifest else None,
        poll_interval_s=element.number("PollInterval"),
        reason=element.attributes.get("reason", ""),
    )


def _read_manifest(element: Element) -> Manifest:
    packages, actions = element.child("packages"), element.child("actions")
    return Manifest(
        version=element.attributes.get("version", ""),
        packages=tuple(_read_package(each) for each in packages.all("package")) if packages else (),
        actions=tuple(_read_action(each) for each in actions.all("action")) if actions else (),
        floor=element.attributes.get("floor", ""),
    )


def _read_package(element: Element) -> Package:
    get = element.attributes.get
    return Package(
        name=get("name", ""),
        size_bytes=element.number("size") or 0,
        sha1=get("hash", ""),
        sha256=get("hash_sha256", ""),
        required=element.flag("required"),
    )


def _read_action(element: Element) -> Action:
    get = element.attributes.get
    return Action(
        event=get("event", ""),
        sha256=get("sha256", ""),
        display_version=get("DisplayVersion", get("ChromeOSVersion", "")),
        needs_admin=element.flag("needsadmin"),
        is_delta=element.flag("IsDeltaPayload") or element.flag("IsDelta"),
        disable_payload_backoff=element.flag("DisablePayloadBackoff"),
        max_failure_count_per_url=element.number("MaxFailureCountPerUrl"),
        metadata_signature=get("MetadataSignatureRsa", ""),
        metadata_size_bytes=element.number("MetadataSize"),
        deadline=get("deadline", ""),
        prompt=element.flag("Prompt"),
        more_info=get("MoreInfo", ""),
    )


def _write_app(app: ResponseApp) -> str:
    children = [_write_ping(app.withdrawn)] if app.ping else []
    if app.update:
        children.append(_write_update(app.update))
    children += [write("event", {"status": "ok"})] * app.events
    return write("app", {"appid": app.app_id, "status": app.status}, *children)


def _write_ping(withdrawn: Withdrawn | None) -> str:
    if withdrawn is None:
        return write("ping", {"status": "ok"})
    words = {"reason": withdrawn.reason} if withdrawn.reason else {}
    return write("ping", {"status": "ok", "withdrawn": withdrawn.version, **words})


def _write_update(update: UpdateAnswer) -> str:
    attributes = {"status": update.status}
    if update.poll_interval_s is not None:
        attributes["PollInterval"] = str(update.poll_interval_s)
    if update.reason:
        attributes["reason"] = update.reason
    urls = write("urls", {}, *(write("url", {"codebase": url}) for url in update.urls))
    manifest = (_write_manifest(update.manifest),) if update.manifest else ()
    return write("updatecheck", attributes, urls, *manifest)


def _write_manifest(manifest: Manifest) -> str:
    attributes = {"version": manifest.version}
    if manifest.floor:
        attributes["floor"] = manifest.floor
    packages = write("packages", {}, *(_write_package(package) for package in manifest.packages))
    actions = write("actions", {}, *(_write_action(action) for action in manifest.actions))
    return write("manifest", attributes, packages, actions)


def _write_package(package: Package) -> str:
    attributes = {"name": package.name, "hash": package.sha1}
    if package.sha256:
        attributes["hash_sha256"] = package.sha256
    attributes |= {"size": str(package.size_bytes), "required": _flag(package.required)}
    return write("package", attributes)


def _write_action(action: Action) -> str:
    attributes = {
        "event": action.event,
        "sha256": action.sha256,
        "DisplayVersion": action.display_version,
        "needsadmin": _flag(action.needs_admin) if action.needs_admin else "",
        "IsDeltaPayload": _flag(action.is_delta) if action.is_delta else "",
        "DisablePayloadBackoff": _flag(action.disable_payload_backoff)
        if action.disable_payload_backoff
        else "",
        "MaxFailureCountPerUrl": _number(action.max_failure_count_per_url),
        "MetadataSignatureRsa": action.metadata_signature,
        "MetadataSize": _number(action.metadata_size_bytes),
        "deadline": action.deadline,
        "Prompt": _flag(action.prompt) if action.prompt else "",
        "MoreInfo": action.more_info,
    }
    return write("action", {key: value for key, value in attributes.items() if value})


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _number(value: int | None) -> str:
    return "" if value is None else str(value)
