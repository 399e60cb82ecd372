"""The user-data of a cluster's machines: the default, and what the lab adds of its server. Pure."""

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
    for mapping in sorted(_without_peers(text), key=lambda mapping: -mapping.start_mark.index):
        text = _with_entry(text, mapping, f"discovery: '{url}'")
    return text


def with_update_server(text: str, url: str) -> str:
    """`text` with the update service `url` as `coreos.update.server`, unless the user named one.

    Everything else stays byte for byte. User-data that is no cloud-config, or says nothing at all, is
    returned as it is. Raises `InputError` on YAML that cannot be read.
    """
    if head(text) is not Head.CLOUD_CONFIG:
        return text
    root = parse_yaml(text, source="user-data")
    coreos = _value(root, "coreos")
    update = _value(coreos, "update")
    if "server" in _keys(update):
        return text
    server = f"server: '{url}'"
    for node, entry in (
        (update, server),
        (coreos, "update: {" + server + "}"),
        (root, "coreos: {update: {" + server + "}}"),
    ):
        if node is not None:
            return _with_entry(text, node, entry)
    return text


def _with_entry(text: str, node: Node, entry: str) -> str:
    """`text` with one more entry at the start of a mapping, which may be a key whose value is left out."""
    offset = node.start_mark.index
    if not isinstance(node, yaml.MappingNode):
        if offset != node.end_mark.index:
            return text
        entry = " {" + entry + "}"
    elif node.flow_style:
        offset += len("{")
        entry += ", " if node.value else ""
    else:
        first = node.value[0][0].start_mark
        offset = first.index
        entry += "\n" + " " * first.column
    return text[:offset] + entry + text[offset:]


def _without_peers(text: str) -> Iterator[yaml.MappingNode]:
    """The sections of etcd's options that say something, but not how members find each other."""
    coreos = _value(parse_yaml(text, source="user-data"), "coreos")
    for section in ("etcd", "etcd2"):
        node = _value(coreos, section)
        if isinstance(node, yaml.MappingNode) and node.value and not _BOOTSTRAPS & set(_keys(node)):
            yield node


def _value(node: Node | None, key: str) -> Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _keys(node: Node | None) -> Iterator[str]:
    if isinstance(node, yaml.MappingNode):
        yield from (str(key.value).replace("_", "-") for key, _ in node.value)
