"""A client of the update service's REST interface, for the command line. The standard library suffices."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from argosy.base.address import parse_address
from argosy.base.decode import decode_json, encode_json
from argosy.base.errors import ArgosyError, InputError
from argosy.base.progress import Progress, Step
from argosy.formats.updateapi import (
    ROOT,
    Access,
    Channel,
    ChannelChange,
    Failure,
    Group,
    GroupChange,
    Machine,
    MachineChange,
    MachineDetail,
    Machines,
    Package,
    Release,
    Rollback,
    Rollout,
)

T = TypeVar("T")

_TIMEOUT_S = 30.0
# The server checks every byte of a payload before it answers.
_UPLOAD_TIMEOUT_S = 600.0
_MAX_ANSWER_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 20


class RefusedError(ArgosyError):
    """The server refused; `code` is its word for the reason."""

    def __init__(self, failure: Failure, status: int) -> None:
        super().__init__(f"{failure.message} ({failure.code})", hint=failure.hint)
        self.code = failure.code
        self.status = status


@dataclass(frozen=True, slots=True)
class Stock:
    """What a payload of CoreOS or Flatcar does not tell by itself. `arch`: empty for any."""

    app: str
    version: str
    name: str
    arch: str = ""

    def query(self) -> dict[str, str]:
        """As the interface takes it."""
        return {"app": self.app, "stock": self.version, "name": self.name, "arch": self.arch}


class Client:
    """Requests to the server at `url` (`InputError` if that is no address); without a token only to read."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = str(parse_address(url))
        self._token = token
        # The proxies of the user's environment lead elsewhere than to this machine.
        proxies = urllib.request.ProxyHandler({}) if _is_loopback(url) else urllib.request.ProxyHandler()
        self._opener = urllib.request.build_opener(proxies, _NoRedirects())

    def channels(self, app: str) -> tuple[Channel, ...]:
        """All channels of an application."""
        return self._ask("GET", "/channels", tuple[Channel, ...], {"app": app})

    def groups(self, app: str) -> tuple[Group, ...]:
        """All groups of an application."""
        return self._ask("GET", "/groups", tuple[Group, ...], {"app": app})

    def rollout(self, app: str, group: str) -> Rollout:
        """How a group gets on with its channel's version."""
        return self._ask("GET", f"/groups/{_word(group)}/rollout", Rollout, {"app": app})

    def machines(self, app: str, *, group: str | None, state: str | None) -> Iterator[Machines]:
        """All machines by their id, page by page; those of one group or in one state, if given."""
        query = {"app": app, "group": group, "state": state}
        page = self._ask("GET", "/machines", Machines, query)
        yield page
        while page.after is not None:
            page = self._ask("GET", "/machines", Machines, {**query, "after": page.after})
            yield page

    def machine(self, app: str, machine: str) -> MachineDetail:
        """One machine and what it told."""
        return self._ask("GET", f"/machines/{_word(machine)}", MachineDetail, {"app": app})

    def name_machine(self, app: str, machine: str, alias: str) -> Machine:
        """Give a machine a name; an empty one takes it away."""
        path = f"/machines/{_word(machine)}"
        return self._ask("PATCH", path, Machine, {"app": app}, MachineChange(alias))

    def change_channel(self, app: str, name: str, change: ChannelChange, *, create: bool) -> Channel:
        """Change a channel, or make it."""
        return self._ask(_verb(create), f"/channels/{_word(name)}", Channel, {"app": app}, change)

    def change_group(self, app: str, name: str, change: GroupChange, *, create: bool) -> Group:
        """Change a group, or make it."""
        return self._ask(_verb(create), f"/groups/{_word(name)}", Group, {"app": app}, change)

    def release(self, app: str, channel: str, release: Release) -> Channel:
        """Give a channel a package."""
        return self._ask("POST", f"/channels/{_word(channel)}/release", Channel, {"app": app}, release)

    def rollback(self, app: str, channel: str, version: str | None) -> Channel:
        """Give a channel the version again that it had before, or another older one."""
        path = f"/channels/{_word(channel)}/rollback"
        return self._ask("POST", path, Channel, {"app": app}, Rollback(version))

    def upload(self, payload: Path, progress: Progress, stock: Stock | None = None) -> Package:
        """Give the server a payload, unless it has it already. It is checked there before it is kept."""
        with payload.open("rb") as file:
            size_bytes = payload.stat().st_size
            with progress.step(f"reading {payload.name}", total=size_bytes) as step:
                sha256 = _sha256(_Counted(file, step))
            there = self._find(sha256, stock)
            if there is not None:
                return there
            file.seek(0)
            with progress.step(f"uploading {payload.name}", total=size_bytes) as step:
                return self._post(_Counted(file, step), size_bytes, stock)

    def check_access(self) -> None:
        """Raise `InputError` now, not after a long upload, if our token may not change anything."""
        if not self._ask("GET", "/access", Access).write:
            shown = "the server does not know this token" if self._token else "this needs the server's token"
            raise InputError(shown, hint="name its file: --token-file FILE, or ARGOSY_TOKEN_FILE")

    def _find(self, sha256: str, stock: Stock | None) -> Package | None:
        try:
            return self._ask("GET", f"/packages/{sha256}", Package, {"app": stock.app} if stock else None)
        except RefusedError as error:
            if error.status == 404:
                return None
            raise

    def _post(self, body: _Counted, size_bytes: int, stock: Stock | None) -> Package:
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size_bytes)}
        query = f"?{urlencode(stock.query())}" if stock else ""
        request = urllib.request.Request(f"{self._url}{ROOT}/packages{query}", body, headers, method="POST")
        return self._send(request, Package, _UPLOAD_TIMEOUT_S)

    def _ask(
        self,
        method: str,
        path: str,
        kind: type[T],
        query: Mapping[str, str | None] | None = None,
        body: Any = None,
    ) -> T:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        url = self._url + ROOT + path + (f"?{urlencode(given)}" if given else "")
        data = None if method == "GET" else b"" if body is None else encode_json(body)
        headers = {"Content-Type": "application/json"} if data else {}
        return self._send(urllib.request.Request(url, data, headers, method=method), kind, _TIMEOUT_S)

    def _send(self, request: urllib.request.Request, kind: type[T], timeout_s: float) -> T:
        if self._token is not None:
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        try:
            with self._opener.open(request, timeout=timeout_s) as answer:
                data = answer.read(_MAX_ANSWER_BYTES)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error) from error
        except (OSError, urllib.error.URLError) as error:
            raise self._unreachable(error) from error
        return decode_json(data, kind, source=self._url)

    def _refused(self, error: urllib.error.HTTPError) -> ArgosyError:
        data = error.read(_MAX_ANSWER_BYTES)
        try:
            failure = decode_json(data, Failure, source=self._url)
        except InputError:
            return ArgosyError(
                f"{self._url} answered {error.code} {error.reason}, not as an update service does",
                hint="--server is the address that `argosy serve` printed, without a path",
            )
        return RefusedError(failure, error.code)

    def _unreachable(self, error: OSError) -> ArgosyError:
        reason = getattr(error, "reason", error)
        text = getattr(reason, "strerror", None) or str(reason) or type(error).__name__
        return ArgosyError(
            f"the server at {self._url} does not answer: {text}",
            hint="does it run? `argosy serve` starts one; `argosy up` starts the lab's",
        )


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A token goes to the server that was named, and nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


class _Counted:
    """A file whose reader tells a progress bar."""

    def __init__(self, file: IO[bytes], step: Step) -> None:
        self._file = file
        self._step = step

    def read(self, _size: int = -1) -> bytes:
        data = self._file.read(_CHUNK_BYTES)
        self._step.advance(len(data))
        return data


def _sha256(file: _Counted) -> str:
    digest = hashlib.sha256()
    while data := file.read():
        digest.update(data)
    return digest.hexdigest()


def _verb(create: bool) -> str:
    return "PUT" if create else "PATCH"


def _word(text: str) -> str:
    return quote(text, safe="")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
