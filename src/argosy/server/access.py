"""Who may look, and who may change, by one token.

Changes need the token as a bearer. Looking is open to programs on the server's own machine that address it as
such (`127.0.0.1`, `localhost`): neither a proxy in front nor a web page that points its own name here comes
through that door. All others show the token, a browser as the password of HTTP's basic authentication.
"""

from __future__ import annotations

import binascii
import hmac
import ipaddress
import re

from starlette.requests import Request

_PORT = re.compile(r":[0-9]+$")
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


class Access:
    """Judges requests by their token and where they come from."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    def may_write(self, request: Request) -> bool:
        """The request bears the token. A browser's password does not do: other sites make it send that."""
        return self._is_token(_bearer(request))

    def may_read(self, request: Request) -> bool:
        """The request shows the token, or comes from this machine and was meant for it."""
        return _is_local(request) or self.may_write(request) or self._is_token(_password(request))

    def _is_token(self, given: str | None) -> bool:
        return given is not None and hmac.compare_digest(given.encode(), self._token)


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _password(request: Request) -> str | None:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return binascii.a2b_base64(encoded.encode(), strict_mode=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return None


def _is_local(request: Request) -> bool:
    peer = request.client.host if request.client else ""
    forwarded = any(name in request.headers for name in _FORWARDED)
    asked = _PORT.sub("", request.headers.get("host", "")).strip("[]")
    return _is_loopback(peer) and _is_loopback(asked) and not forwarded


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
