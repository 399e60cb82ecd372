"""The edge: the machines that etcd knows: its members, with their health, and clients of FleetLock."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence

import msgspec

from argosy.base.address import TlsFiles, parse_address
from argosy.base.errors import ArgosyError
from argosy.base.etcd import Etcd
from argosy.base.etcd import Member as EtcdMember
from argosy.base.http import Client, HttpError
from argosy.node.locksmith.admission import machines
from argosy.node.locksmith.model import Access, Cluster, Member
from argosy.node.locksmith.sightings import Sightings

_ANSWER_TIMEOUT_S = 5.0


def connect(access: Access) -> Etcd:
    """A client for the cluster."""
    return Etcd(access.endpoints, tls=access.tls, login=access.login)


async def look(etcd: Etcd, access: Access, now_s: int) -> Cluster:
    """The members, this machine's own, and the clients of FleetLock. Raises `EtcdError`."""
    members = await look_at_members(etcd, access)
    return Cluster(members, await own_member(access), clients=await look_at_clients(etcd, members, now_s))


async def look_at_members(etcd: Etcd, access: Access) -> tuple[Member, ...]:
    """The members, each asked for its health. Raises `EtcdError`."""
    listed = await etcd.members()
    healthy = await asyncio.gather(*(_is_healthy(member, access.tls) for member in listed))
    return tuple(_member(each, well) for each, well in zip(listed, healthy, strict=True))


async def look_at_clients(etcd: Etcd, members: Sequence[Member], now_s: int) -> frozenset[str]:
    """The clients of FleetLock that count beside these members. Raises `EtcdError`."""
    return machines(await Sightings(etcd).read(), now_s, {member.id for member in members})


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


async def member_at(etcd: Etcd, host: str) -> str:
    """The id of the member whose clients reach it at this address; empty if there is none.

    At a loopback address is whoever forwards connections here. Raises `EtcdError`.
    """
    if not host or ipaddress.ip_address(host).is_loopback:
        return ""
    listed = await etcd.members()
    return next((f"{each.id:x}" for each in listed if host in map(_host, each.client_urls)), "")


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


def _host(url: str) -> str:
    try:
        return parse_address(url).host
    except ArgosyError:
        return ""


def _is_loopback(endpoint: str) -> bool:
    host = _host(endpoint)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
