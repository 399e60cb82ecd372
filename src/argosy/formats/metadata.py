"""What a machine is told about itself from outside: the system credential `argosy.metadata`, JSON.

A driver of the lab writes it, `coreos-cloudinit` reads it.
"""

from __future__ import annotations

from dataclasses import dataclass

from argosy.base.decode import decode_json, encode_json

CREDENTIAL = "argosy.metadata"
USER_DATA_CREDENTIAL = "argosy.user-data"


@dataclass(frozen=True)
class Metadata:
    """Host name, addresses and the keys of user core. Empty text: not known."""

    hostname: str = ""
    private_ipv4: str = ""
    public_ipv4: str = ""
    private_ipv6: str = ""
    public_ipv6: str = ""
    ssh_authorized_keys: tuple[str, ...] = ()

    def addresses(self) -> dict[str, str]:
        """The known addresses by the names that user-data calls them."""
        names = ("private_ipv4", "public_ipv4", "private_ipv6", "public_ipv6")
        return {name: value for name in names if (value := getattr(self, name))}


def parse_metadata(data: bytes, *, source: str) -> Metadata:
    """Raises `InputError` if `data` is not such JSON."""
    return decode_json(data, Metadata, source=source)


def format_metadata(metadata: Metadata) -> bytes:
    """`metadata` as `parse_metadata` reads it."""
    return encode_json(metadata, pretty=True)
