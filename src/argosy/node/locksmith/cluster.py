"""The edge: etcd's members, and whether each of them is healthy."""

from __future__ import annotations

import asyncio
import ipaddress

import msgspec

from argosy.base.address import TlsFiles, parse_address
from argosy.base.errors import ArgosyError
from argosy.base.etcd import Etcd
from argosy.base.etcd import Member as EtcdMember
from argosy.base.http import Client, HttpError
from argosy.node.locksmith.model import Access, Member

_ANSWER_TIMEOUT_S = 5.0


def connect(access: Access) -> Etcd:
    """A client for the cluster."""
    return Etcd(access.endpoints, tls=access.tls, login=access.login)


async def look(etcd: Etcd, access: Access) -> tuple[tuple[Member, ...], str]:
    """The members, each asked for its health, and the id of this machine's own. Raises `EtcdError`."""
    listed = await etcd.members()
    healthy = await asyncio.gather(*(_is_healthy(member, access.tls) for member in listed))
    members = [_member(each, well) for each, well in zip(listed, healthy, strict=True)]
    return tuple(members), await own_member(access)


async def own_member(access: Access) -> str:
    """The id of the member on this machine: of the one that answers on a loopback address; or empty."""
    for endpoint in filter(_is_loopback, access.endpoints):
        etcd = Etcd([endpoint], timeout_s=_ANSWER_TIMEOUT_S, tls=access.tls, login=access.login)
        try:
            return f"{await etcd.member_id():x}"
        except ArgosyError:
            continue
        finally:
            etcd.close()
    return ""


def _member(listed: EtcdMember, healthy: bool) -> Member:
    return Member(f"{listed.id:x}", listed.name, healthy, not listed.is_learner)


async def _is_healthy(member: EtcdMember, tls: TlsFiles) -> bool:
    """Whether one of its addresses says so: it has a leader, no alarm, and can read through the quorum."""
    return any(await asyncio.gather(*(_says_healthy(url, tls) for url in member.client_urls)))


async def _says_healthy(url: str, tls: TlsFiles) -> bool:
    try:
        client = Client(parse_address(url), timeout_s=_ANSWER_TIMEOUT_S, tls=tls)
    except ArgosyError:
        return False
    try:
        answer = await client.request("GET", "/health")
        return answer.status == 200 and msgspec.json.decode(answer.body).get("health") in ("true", True)
    except (HttpError, msgspec.DecodeError, AttributeError):
        return False
    finally:
        client.close()


def _is_loopback(endpoint: str) -> bool:
    host = parse_address(endpoint).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
