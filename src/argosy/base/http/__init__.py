"""HTTP/1.1 over TCP and unix sockets: a client and a small server, both asyncio streams around h11.

Made for daemons that must stay small: nothing is imported that a plain socket does not need, and TLS only
when an address says `https`. Bodies, headers and waiting times are bounded.
"""

from argosy.base.http.client import Client, Stream
from argosy.base.http.message import Headers, HttpError, Request, Response
from argosy.base.http.server import Handler, Server, activated_sockets, unix_socket

__all__ = [
    "Client",
    "Handler",
    "Headers",
    "HttpError",
    "Request",
    "Response",
    "Server",
    "Stream",
    "activated_sockets",
    "unix_socket",
]
