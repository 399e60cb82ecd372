"""Where user-data and metadata come from. A source that is not there (yet) answers None."""

from __future__ import annotations

import gzip
import logging
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from argosy.base.decode import decode_json
from argosy.base.errors import ArgosyError, InputError
from argosy.formats.metadata import CREDENTIAL, USER_DATA_CREDENTIAL, Metadata, parse_metadata

FIRST_WAIT_S, LONGEST_WAIT_S, TIMEOUT_S = 0.1, 30.0, 300.0
CMDLINE_KEY = "cloud-config-url"

_URL_TIMEOUT_S = 10.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fetched:
    """What a source gave. `name` is for messages; `user_data` may be empty."""

    name: str
    user_data: bytes = b""
    metadata: Metadata = field(default_factory=Metadata)

    def text(self) -> str:
        """User-data as text, decompressed if it is gzip; bytes that are not UTF-8 survive as surrogates."""
        data = self.user_data
        if data.startswith(b"\x1f\x8b"):
            try:
                data = gzip.decompress(data)
            except (OSError, EOFError, zlib.error) as error:
                raise InputError(f"the gzip data is damaged: {error}", where=self.name) from error
        return data.decode(errors="surrogateescape")


class Source(Protocol):
    """One place to look."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def fetch(self) -> Fetched | None:
        """What is there, or None; raises `ArgosyError` if waiting for it is of no use."""


@dataclass(frozen=True)
class FileSource:
    """User-data in a file."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def fetch(self) -> Fetched | None:
        try:
            return Fetched(self.name, self.path.read_bytes())
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=self.name) from error


@dataclass(frozen=True)
class UrlSource:
    """User-data at an http or https address."""

    url: str

    @property
    def name(self) -> str:
        return self.url

    def fetch(self) -> Fetched | None:
        # urllib.request is slow to import, and few machines need it.
        import urllib.error
        import urllib.request

        if not self.url.startswith(("http://", "https://")):
            raise InputError("not an http or https address", where=self.url)
        try:
            with urllib.request.urlopen(self.url, timeout=_URL_TIMEOUT_S) as answer:
                return Fetched(self.url, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                if error.code < 500:
                    raise ArgosyError(f"the server answered {error.code}", where=self.url) from error
                log.info("%s: the server answered %s", self.url, error.code)
        except OSError as error:
            log.info("%s: %s", self.url, error)
        return None


@dataclass(frozen=True)
class ConfigDriveSource:
    """A config drive (OpenStack's layout, version `latest`) that is mounted at `folder`."""

    folder: Path

    @property
    def name(self) -> str:
        return f"config drive {self.folder}"

    def fetch(self) -> Fetched | None:
        latest = self.folder / "openstack/latest"
        if not self.folder.is_dir():
            raise InputError("there is no such folder", where=self.name)
        metadata = Metadata()
        if (data := _read(latest / "meta_data.json")) is not None:
            source = str(latest / "meta_data.json")
            value: dict[str, Any] = decode_json(data, dict, source=source)
            keys = value.get("public_keys") or {}
            metadata = Metadata(
                hostname=value.get("hostname") or "", ssh_authorized_keys=tuple(keys.values())
            )
        return Fetched(self.name, _read(latest / "user_data") or b"", metadata)


@dataclass(frozen=True)
class CredentialsSource:
    """The system credentials that a driver passed, in the folder where systemd put them for us."""

    folder: Path

    @property
    def name(self) -> str:
        return "system credentials"

    def fetch(self) -> Fetched | None:
        data = _read(self.folder / CREDENTIAL)
        metadata = parse_metadata(data, source=f"credential {CREDENTIAL}") if data else Metadata()
        return Fetched(
            f"credential {USER_DATA_CREDENTIAL}", _read(self.folder / USER_DATA_CREDENTIAL) or b"", metadata
        )


def cmdline_source(cmdline: str) -> UrlSource | None:
    """The source that the kernel command line names by `cloud-config-url=`; the last one counts."""
    url = ""
    for word in cmdline.split():
        key, _, value = word.partition("=")
        if key.replace("_", "-") == CMDLINE_KEY and value:
            url = value
    return UrlSource(url) if url else None


def credentials_folder(environment: Mapping[str, str]) -> Path:
    """The unit's own credentials, or, by hand, those of the whole system."""
    return Path(environment.get("CREDENTIALS_DIRECTORY", "/run/credentials/@system"))


def first_available(
    sources: Sequence[Source], *, sleep: Callable[[float], None], timeout_s: float = TIMEOUT_S
) -> Fetched:
    """What the first source to be there gives; they are asked in turn, at growing intervals.

    Raises the last source's error if none can come any more, `ArgosyError` after `timeout_s`.
    """
    waiting = list(sources)
    wait_s, left_s = FIRST_WAIT_S, timeout_s
    while True:
        for source in list(waiting):
            try:
                fetched = source.fetch()
            except ArgosyError:
                waiting.remove(source)
                if not waiting:
                    raise
                continue
            if fetched is not None:
                return fetched
        if left_s <= 0:
            names = ", ".join(source.name for source in waiting)
            raise ArgosyError(f"no user-data from {names} within {timeout_s:g} s")
        pause_s = min(wait_s, left_s)
        log.info("waiting %g s for %s", pause_s, ", ".join(source.name for source in waiting))
        sleep(pause_s)
        left_s -= pause_s
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
