"""The user-data of a cluster's machines: the default, and the cluster's discovery token put into it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from argosy.formats.cloudconfig import Head, head
from argosy.formats.cloudconfig.yamltree import Node, parse_yaml

# What people copied from the examples of old and never filled in.
PLACEHOLDER = "https://discovery.etcd.io/<token>"

DEFAULT = """\
#cloud-config
coreos:
  etcd2:
    advertise-client-urls: http://$private_ipv4:2379
    initial-advertise-peer-urls: http://$private_ipv4:2380
    listen-client-urls: http://0.0.0.0:2379
    listen-peer-urls: http://$private_ipv4:2380
  fleet:
    public-ip: $public_ipv4
  units:
    - name: etcd2.service
      command: start
    - name: fleet.service
      command: start
"""

# Either of these means that the user has decided how members find each other.
_BOOTSTRAPS = frozenset(("discovery", "discovery-srv", "initial-cluster", "peers"))


def with_discovery(text: str, url: str) -> str:
    """`text` with the discovery address `url` wherever etcd is configured without a way to find its peers.

    Everything else stays byte for byte. User-data that is no cloud-config is returned as it is. Raises
    `InputError` on YAML that cannot be read, which the check of user-data has refused before.
    """
    text = text.replace(PLACEHOLDER, url)
    if head(text) is not Head.CLOUD_CONFIG:
        return text
    for offset, indentation, inside_braces in sorted(_openings(text), reverse=True):
        entry = f"discovery: '{url}'"
        entry += ", " if inside_braces else "\n" + " " * indentation
        text = text[:offset] + entry + text[offset:]
    return text


def _openings(text: str) -> Iterator[tuple[int, int, bool]]:
    """Where a first key can be put: its offset and column, and whether the mapping is written in braces."""
    coreos = _value(parse_yaml(text, source="user-data"), "coreos")
    for section in ("etcd", "etcd2"):
        node = _value(coreos, section)
        if isinstance(node, yaml.MappingNode) and node.value and not _BOOTSTRAPS & set(_keys(node)):
            mark = node.value[0][0].start_mark
            yield mark.index, mark.column, bool(node.flow_style)


def _value(node: Node | None, key: str) -> Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _keys(node: yaml.MappingNode) -> Iterator[str]:
    return (str(key.value).replace("_", "-") for key, _ in node.value)
