"""Which server a command speaks to, and which payload it means."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from argosy.base.errors import ArgosyError, InputError
from argosy.formats.release import PAYLOAD

if TYPE_CHECKING:
    from argosy.server.update.client import Client

LAB = "argosy"
ENV_SERVER = "ARGOSY_SERVER"
ENV_TOKEN = "ARGOSY_TOKEN_FILE"


def made_releases() -> Iterator[str]:
    """The versions of the releases that were built here."""
    from argosy.image.build import releases_folder

    return (path.name for path in releases_folder().glob("[0-9]*"))


def find_payload(release: str) -> Path:
    """The payload of a release: a version that was built, a release folder, or the file itself."""
    from argosy.image.build import releases_folder

    path = Path(release)
    if path.is_file():
        return path
    folder = path if path.is_dir() else releases_folder() / release
    if not folder.is_dir():
        made = ", ".join(sorted(made_releases()))
        raise InputError(
            f"there is no release {release}",
            hint=f"these exist: {made}" if made else "`argosy build` makes one",
        )
    payload = folder / PAYLOAD
    if not payload.is_file():
        raise InputError(f"{folder} holds no {PAYLOAD}", hint="`argosy build` makes it anew")
    return payload


def client_of(arguments: argparse.Namespace) -> Client:
    """The server that the user means, and its token if it is known."""
    from argosy.server.tokenfile import read_token
    from argosy.server.update.client import Client

    url = arguments.server or (None if arguments.name else os.environ.get(ENV_SERVER) or None)
    token_file = arguments.token_file
    if url is None:
        url, token_file = _lab_server(arguments.name or LAB, token_file)
    elif token_file is None and os.environ.get(ENV_TOKEN):
        token_file = Path(os.environ[ENV_TOKEN])
    return Client(url, read_token(token_file) if token_file else None)


def _lab_server(name: str, token_file: Path | None) -> tuple[str, Path | None]:
    from argosy.lab.server import token_file as token_file_of
    from argosy.lab.wiring import open_store

    try:
        site = open_store().existing(name)
    except InputError as error:
        raise ArgosyError(
            f"no server is named, and {error.message} whose server it could be",
            hint=f"--server URL (or {ENV_SERVER}) names one; `argosy up` starts the lab's",
        ) from error
    if token_file is None and token_file_of(site).exists():
        token_file = token_file_of(site)
    return f"http://127.0.0.1:{site.cluster.server_port}", token_file
