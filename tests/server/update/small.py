"""Small payloads signed as real ones, and machines that speak to a server as real ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import httpx

from argosy.base.progress import Silent
from argosy.formats.omaha import model as omaha
from argosy.formats.omaha.request import encode_request
from argosy.formats.omaha.response import decode_response
from argosy.formats.payload import APPLICATION_ID, PARTS
from argosy.formats.version import parse_version
from argosy.image.keys import ensure_keys
from argosy.image.pack import Source
from argosy.image.payload import Info, make_payload

_client = httpx.Client(verify=False)  # One for all: its TLS, which is not used, costs more than a request.


def small_payload(folder: Path, version: str, keys: Path, *, floor: str = "0.0.0") -> Path:
    """A payload of a few kilobytes, as a release folder holds it; the keys are made if there are none."""
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Source] = {name: f"{name} of {version} ".encode() * 50 for name in PARTS}
    info = Info(parse_version(version), "stable", "6.12.48-cloud-amd64", floor=parse_version(floor))
    make_payload(parts, info, ensure_keys(keys), folder / "update.payload", Silent())
    return folder / "update.payload"


@dataclass
class Machine:
    """A machine that asks the server at `address` for updates."""

    address: str
    id: str
    version: str
    group: str = "stable"

    def ask(self) -> omaha.UpdateAnswer:
        """Check for an update."""
        update = self._send(omaha.RequestApp(**self._self(), update_check=omaha.UpdateCheck()))
        assert update is not None
        return update

    def tell(self, type_: int, result: int, **event: object) -> None:
        """Report an event."""
        happened = omaha.Event(type_, result, **event)  # type: ignore[arg-type]
        self._send(omaha.RequestApp(**self._self(), events=(happened,)))

    def _self(self) -> dict[str, str]:
        return {
            "app_id": APPLICATION_ID,
            "version": self.version,
            "track": self.group,
            "machine_id": self.id,
            "boot_id": "{c948d084-8590-4761-be9e-b0fdd67266a6}",
        }

    def _send(self, app: omaha.RequestApp) -> omaha.UpdateAnswer | None:
        system = omaha.System(platform=omaha.PLATFORM, sp=f"{self.version}_x86_64")
        request = omaha.Request((app,), system=system, version="test", is_machine=True)
        answer = _client.post(f"{self.address}/v1/update/", content=encode_request(request))
        assert answer.status_code == 200, answer.text
        return decode_response(answer.content).apps[0].update
