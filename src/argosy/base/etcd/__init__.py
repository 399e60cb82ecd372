"""A client of etcd 3.4 and later, through the JSON gateway that every member serves beside gRPC.

Keys and values are bytes (base64 on the wire), 64-bit integers travel as strings. Reads are tried on every
endpoint; a write is sent again only if certainly nothing of it arrived, else `UnavailableError` says that it
may have happened: compare (`Compare`) before you write again.
"""

from argosy.base.etcd.client import Etcd
from argosy.base.etcd.model import (
    Changes,
    CompactedError,
    Compare,
    Delete,
    EtcdError,
    Event,
    Found,
    KeyValue,
    LeaseNotFoundError,
    Member,
    Operation,
    Outcome,
    Put,
    Range,
    TokenError,
    UnavailableError,
    prefix_end,
)

__all__ = [
    "Changes",
    "CompactedError",
    "Compare",
    "Delete",
    "Etcd",
    "EtcdError",
    "Event",
    "Found",
    "KeyValue",
    "LeaseNotFoundError",
    "Member",
    "Operation",
    "Outcome",
    "Put",
    "Range",
    "TokenError",
    "UnavailableError",
    "prefix_end",
]
