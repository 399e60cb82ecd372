"""What a host lacks: tables, and the properties of the choice of subordinate ids."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.lab.host.model import (
    AddSubordinateIds,
    FinishInstallation,
    Host,
    Install,
    SubordinateRange,
    UpdateLists,
)
from argosy.lab.host.plan import RANGE_IDS, UnsupportedHostError, free_start, plan

ROOT = Host(
    os_id="debian",
    os_version="12",
    os_name="Debian GNU/Linux 12 (bookworm)",
    uid=0,
    user="root",
    has_sudo=False,
    installed=frozenset({"ovmf"}),
    known=frozenset({"xz-utils", "uidmap"}),
)
ANN = replace(ROOT, uid=1000, user="ann")
ANNS = SubordinateRange("ann", 100_000, 65_536)


def kinds(host: Host, *wanted: str) -> list[type]:
    return [type(action) for action in plan(host, wanted).actions]


def test_nothing_missing_is_nothing_to_do() -> None:
    assert plan(ROOT, ["ovmf"]).actions == ()


def test_only_what_is_missing_is_installed() -> None:
    (action,) = plan(ROOT, ["ovmf", "uidmap", "xz-utils"]).actions
    assert isinstance(action, Install)
    assert action.packages == ("uidmap", "xz-utils")


def test_lists_are_fetched_only_for_what_apt_does_not_know() -> None:
    assert kinds(ROOT, "uidmap", "mmdebstrap") == [UpdateLists, Install]
    assert "mmdebstrap" in plan(ROOT, ["uidmap", "mmdebstrap"]).actions[0].reason
    assert "uidmap" not in plan(ROOT, ["uidmap", "mmdebstrap"]).actions[0].reason


def test_interrupted_installation_is_finished_first() -> None:
    host = replace(ROOT, is_dpkg_interrupted=True)
    assert kinds(host, "ovmf") == [FinishInstallation]
    assert kinds(host, "uidmap") == [FinishInstallation, Install]


def test_ordinary_user_gets_ids_once() -> None:
    assert plan(ANN, []).actions == (
        AddSubordinateIds("ann", "subuid", 100_000, 65_536, "user ann has no ids for namespaces"),
        AddSubordinateIds("ann", "subgid", 100_000, 65_536, "user ann has no ids for namespaces"),
    )
    assert kinds(replace(ANN, subuids=(ANNS,)), "ovmf") == [AddSubordinateIds]
    assert kinds(replace(ANN, subuids=(ANNS,), subgids=(SubordinateRange("1000", 7, 65_536),))) == []
    too_few = replace(ANNS, count=1000)
    assert kinds(replace(ANN, subuids=(too_few,), subgids=(ANNS,))) == [AddSubordinateIds]


@pytest.mark.parametrize(
    ("os_id", "os_version"),
    [("debian", "11"), ("debian", ""), ("ubuntu", "24.04"), ("fedora", "12"), ("", "")],
)
def test_other_hosts_are_told_what_is_needed(os_id: str, os_version: str) -> None:
    with pytest.raises(UnsupportedHostError) as caught:
        plan(replace(ROOT, os_id=os_id, os_version=os_version), ["uidmap", "ovmf"])
    assert "uidmap ovmf" in (caught.value.hint or "")


def test_advice_on_kvm() -> None:
    assert "usermod -aG kvm ann" in plan(replace(ANN, kvm_refused=True), []).advice[0]
    assert plan(ANN, []).advice == ()


ranges = st.lists(
    st.builds(SubordinateRange, st.just("x"), st.integers(0, 10_000_000), st.integers(1, 1_000_000)),
    max_size=12,
)


@given(ranges)
def test_free_start_overlaps_nobody(taken: list[SubordinateRange]) -> None:
    start = free_start(taken)
    assert start >= 100_000
    assert all(start + RANGE_IDS <= r.start or r.start + r.count <= start for r in taken)


def test_free_start_finds_a_gap_when_the_end_is_taken() -> None:
    taken = [SubordinateRange("a", 100_000, 65_536), SubordinateRange("b", 300_000, 599_800_000)]
    assert free_start(taken) == 165_536
