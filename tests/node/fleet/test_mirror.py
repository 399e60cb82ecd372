"""The mirror: what it makes of keys, and that a pass rests on one revision."""

from __future__ import annotations

import pytest

from argosy.base.etcd import KeyValue
from argosy.formats.fleet import JobRecord, UnitTarget
from argosy.node.fleet.mirror import Stored, View
from argosy.node.fleet.registry import Keys

KEYS = Keys("/fleet/")


def item(key: str, value: bytes = b"", revision: int = 1) -> KeyValue:
    return KeyValue(key.encode(), value, mod_revision=revision)


def test_keys_become_what_they_mean() -> None:
    view = View(KEYS)
    view.put(item(KEYS.job("a@1.service"), b'{"hash":"h","target":"launched"}', 7))
    view.put(item(KEYS.machine("m1"), b'{"public_ip":"1.1.1.1","metadata":{"zone":"a","disk":"ssd"}}'))
    view.put(item(KEYS.metadata("m1", "zone"), b"b"))
    view.put(item(KEYS.metadata("m1", "disk"), b""))
    view.put(item(KEYS.leader, b"m1"))
    assert view.jobs == {"a@1.service": Stored(JobRecord("h", UnitTarget.LAUNCHED), 7)}
    assert view.present()["m1"].metadata == {"zone": "b"}
    assert view.leader == "m1"
    for key in (KEYS.job("a@1.service"), KEYS.metadata("m1", "zone"), KEYS.leader):
        view.delete(item(key))
    assert (view.jobs, view.leader) == ({}, None)
    assert view.present()["m1"].metadata == {"zone": "a"}
    view.delete(item(KEYS.machine("m1")))
    assert view.present() == {}


@pytest.mark.parametrize("value", [b"", b"{", b'{"hash":1}', b'{"hash":"h","target":"flying"}', b"\xff"])
def test_a_value_that_nobody_understands_counts_as_none(value: bytes) -> None:
    view = View(KEYS)
    view.put(item(KEYS.job("a.service"), b'{"hash":"h"}'))
    view.put(item(KEYS.job("a.service"), value))
    assert view.jobs == {}


def test_a_snapshot_stays_as_it_is() -> None:
    view = View(KEYS, revision=3)
    view.put(item(KEYS.job("a.service"), b'{"hash":"h"}'))
    view.put(item(KEYS.metadata("m1", "zone"), b"b"))
    seen = view.snapshot()
    view.put(item(KEYS.job("b.service"), b'{"hash":"h"}'))
    view.put(item(KEYS.metadata("m1", "zone"), b"c"))
    view.revision = 9
    assert (set(seen.jobs), seen.metadata, seen.revision) == ({"a.service"}, {"m1": {"zone": "b"}}, 3)
