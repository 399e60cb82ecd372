"""The mirror: what it makes of keys, and that a pass rests on one revision."""

from __future__ import annotations

import pytest

from argosy.base.etcd import KeyValue
from argosy.formats.cordon import MoveRecord
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


def test_cordons_hold_until_they_are_undone_or_their_boot_ends() -> None:
    view = View(KEYS)
    view.put(item(KEYS.machine("m1"), b'{"boot":"b1"}'))
    view.put(item(KEYS.cordon("m1", "person"), b'{"reason":"a new disk"}', 3))
    view.put(item(KEYS.cordon("m1", "locksmith"), b'{"drain":true,"boot":"b1"}', 4))
    view.put(item(KEYS.cordon("away", "locksmith"), b'{"drain":true,"boot":"b1"}', 5))
    machine = view.snapshot().present()["m1"]
    assert machine.drains
    assert machine.closed == "draining for locksmith, cordoned for person (a new disk)"
    # The machine has rebooted: what was for the former boot is over, a person's cordon is not.
    view.put(item(KEYS.machine("m1"), b'{"boot":"b2"}'))
    machine = view.present()["m1"]
    assert (machine.drains, machine.closed) == (False, "cordoned for person (a new disk)")
    # One that says no boot is in another one, too: an older version runs there.
    view.put(item(KEYS.machine("m1"), b"{}"))
    assert not view.drains("m1")
    # Nobody knows in which boot a machine is that is away.
    assert view.drains("away")
    view.delete(item(KEYS.cordon("m1", "person")))
    assert view.machine("m1").closed == ""


def test_moves() -> None:
    view = View(KEYS)
    view.put(item(KEYS.move("a@1.service"), b'{"machine_id":"m2","source":"m1","reason":"r"}', 8))
    assert view.moves == {"a@1.service": Stored(MoveRecord("m2", "m1", "r"), 8)}
    view.delete(item(KEYS.move("a@1.service")))
    assert view.moves == {}


def test_all_that_is_mirrored_is_in_the_range() -> None:
    start, end = KEYS.mirrored()
    keys = (KEYS.cordon("m", "b"), KEYS.job("a"), KEYS.leader, KEYS.machine("m"), KEYS.move("a"))
    for key in (*keys, KEYS.metadata("m", "k"), KEYS.schedule("a")):
        assert start <= key < end
    for key in (KEYS.state("a", "m"), KEYS.unit("h")):
        assert not start <= key < end


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
