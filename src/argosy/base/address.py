"""Where a server listens, as people write it, and the TLS and the user that it asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from argosy.base.errors import InputError

if TYPE_CHECKING:
    import ssl


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files for a connection with TLS; without `authority` the system's authorities are trusted."""

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """A user of the server's own, where it asks for one."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens: a host and port, or the path of a unix socket."""

    host: str
    port: int = 0
    path: str | None = None
    tls: bool = False

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


def parse_address(url: str) -> Address:
    """Understand `http://host:port`, `https://host:port`, `unix:///path`; raises `InputError` for others."""
    hint = "write http://HOST:PORT, https://HOST:PORT or unix:///PATH"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InputError(f"`{url}` is not an address: {error}", hint=hint) from error
    if parts.scheme in ("unix", "file") and not parts.netloc and parts.path.startswith("/"):
        return Address("localhost", path=parts.path)
    if parts.scheme in ("http", "https") and parts.hostname and parts.path in ("", "/"):
        tls = parts.scheme == "https"
        return Address(parts.hostname, port or (443 if tls else 80), tls=tls)
    raise InputError(f"`{url}` is not an address", hint=hint)


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """The TLS of a client. TLS is only imported when it is asked for. Raises `InputError`."""
    import ssl

    try:
        context = ssl.create_default_context(cafile=files.authority)
        if files.certificate is not None:
            context.load_cert_chain(files.certificate, files.key)
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"cannot use the TLS files: {error}") from error
    return context
