"""The cluster's own server (`argosy serve`): where its machines find each other, and their updates."""

from __future__ import annotations

import re
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from argosy.base.errors import ArgosyError
from argosy.base.files import replace_file
from argosy.lab import process
from argosy.lab.model import Site

_ROLE = "server"
_START_TIMEOUT_S = 60.0
_REQUEST_TIMEOUT_S = 10.0
_TOKEN = re.compile(r"[0-9a-f]{32}")
_TAIL_BYTES = 1500

# The proxies of the user's environment lead elsewhere than to 127.0.0.1.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def is_up(site: Site) -> bool:
    """Whether the server runs and answers."""
    return bool(process.find_role(site.cluster.id, _ROLE)) and _is_healthy(site)


def start(site: Site, server_host: str) -> None:
    """Start the server, or replace one that does not answer; return when it does.

    `server_host` is the host's address as machines see it.
    """
    stop(site)
    log = _log(site)
    log.unlink(missing_ok=True)
    port = site.cluster.server_port
    words: list[str | Path] = [
        *(sys.executable, "-m", "argosy", "serve"),
        *("--listen", f"127.0.0.1:{port}", "--url", f"http://{server_host}:{port}"),
        *("--database", f"sqlite:///{site.folder / 'server.sqlite'}"),
        *("--token-file", token_file(site), "--packages", site.folder / "packages"),
    ]
    process.spawn(site.cluster.id, _ROLE, words, log=log)
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not _is_healthy(site):
        if not process.find_role(site.cluster.id, _ROLE) or time.monotonic() > deadline:
            stop(site)
            said = log.read_text(errors="replace")[-_TAIL_BYTES:].strip()
            raise ArgosyError(f"the cluster's server did not start on port {port}", hint=said or None)
        time.sleep(0.1)


def stop(site: Site) -> None:
    """End the cluster's server, if it runs."""
    process.end(process.find_role(site.cluster.id, _ROLE))


def take_token(site: Site) -> None:
    """Ask the server for a discovery token for the cluster's size, and keep it."""
    body = _get(site, f"/new?size={len(site.cluster.machines)}").decode(errors="replace")
    token = body.rpartition("/")[2].strip()
    if not _TOKEN.fullmatch(token):
        raise ArgosyError(f"the cluster's server answered with {body!r} instead of a discovery URL")
    replace_file(_discovery_file(site), token.encode())


def has_token(site: Site) -> bool:
    """Whether the cluster has its discovery token already."""
    return _discovery_file(site).exists()


def discovery_url(site: Site, server_host: str) -> str:
    """The cluster's discovery URL as its machines reach it."""
    return f"http://{server_host}:{site.cluster.server_port}/{_discovery_file(site).read_text()}"


def update_url(site: Site, server_host: str) -> str:
    """Where the cluster's machines ask for updates."""
    return f"http://{server_host}:{site.cluster.server_port}/v1/update/"


def token_file(site: Site) -> Path:
    """The file with the token that publishing to the cluster's server takes; the server makes it."""
    return site.folder / "server-token"


def _is_healthy(site: Site) -> bool:
    try:
        _get(site, "/health")
    except (urllib.error.URLError, OSError):
        return False
    return True


def _get(site: Site, path: str) -> bytes:
    url = f"http://127.0.0.1:{site.cluster.server_port}{path}"
    with _direct.open(url, timeout=_REQUEST_TIMEOUT_S) as response:
        data: bytes = response.read()
        return data


def _discovery_file(site: Site) -> Path:
    return site.folder / "discovery-token"


def _log(site: Site) -> Path:
    return site.folder / "server.log"
