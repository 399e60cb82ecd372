"""The page that shows a person how far a cluster has come."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from argosy.server.discovery.model import Cluster, Member


@dataclass(frozen=True, slots=True)
class Row:
    """A member, or a place that is still free (no names)."""

    number: int
    names: str
    urls: tuple[str, ...]
    late: bool


def rows(cluster: Cluster) -> tuple[Row, ...]:
    """One row a place, in order of registration, then those who came too late."""
    members = cluster.by_age()
    taken = [_row(number, member, cluster.size) for number, member in enumerate(members, 1)]
    free = [Row(number, "", (), False) for number in range(len(members) + 1, cluster.size + 1)]
    return (*taken, *free)


def render(cluster: Cluster | None) -> str:
    """The page; None: no such cluster."""
    if cluster is None:
        return _template("unknown.html").render()
    registered = min(len(cluster.members), cluster.size)
    return _template("cluster.html").render(
        size=cluster.size,
        registered=registered,
        missing=cluster.size - registered,
        rows=rows(cluster),
    )


def _row(number: int, member: Member, size: int) -> Row:
    # A member with several addresses registers `name=url` once for each.
    pairs = [pair.partition("=") for pair in member.value.split("&")]
    names = ", ".join(dict.fromkeys((name if equals else "") or member.name for name, equals, _ in pairs))
    return Row(number, names, tuple(url if equals else name for name, equals, url in pairs), number > size)


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("argosy.server.discovery"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template(name)
