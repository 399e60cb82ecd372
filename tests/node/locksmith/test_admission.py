"""Who gets the lock by FleetLock, who must wait, and what counts as a machine: tables and properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.formats.fleetlock import Client, FleetLockError, Kind, Sighting
from argosy.formats.rebootlock import Holding, Semaphore
from argosy.node.locksmith.admission import (
    NOTED_EVERY_S,
    REMEMBERED_S,
    admitted,
    expired,
    group_of,
    held,
    is_news,
    machines,
    released,
)
from argosy.node.locksmith.model import Cluster, Locks, Member
from argosy.node.locksmith.rule import gone, why_not
from argosy.node.locksmith.semaphore import HolderExistsError, NoHolderError, with_holder, with_max

NOW_S = 1_800_000_000
ME = Client("w0", "default")
MINE = Holding(NOW_S, fleetlock=True)
OURS = Holding(NOW_S, boot="now", daemon=True)


def semaphore(most: int = 1, **holders: Holding) -> Semaphore:
    found = with_max(Semaphore(), most)
    for holder, holding in holders.items():
        found = with_holder(found, holder, holding)
    return found


def cluster(members: int = 3, unhealthy: int = 0, own: str = "", clients: int = 10) -> Cluster:
    return Cluster(
        tuple(Member(f"m{n}", f"m{n}", n < members - unhealthy) for n in range(members)),
        own,
        clients=frozenset(f"w{n}" for n in range(clients)),
    )


@pytest.mark.parametrize(
    ("locks", "view", "client", "kind", "words"),
    [
        ({}, cluster(), ME, None, ""),
        ({"": semaphore()}, cluster(), ME, None, ""),
        ({"g": semaphore()}, cluster(), Client("w0", "g"), None, ""),
        ({}, cluster(), Client("w0", "g"), Kind.UNKNOWN_GROUP, "locksmithctl -group g set-max 1"),
        # Full
        ({"": semaphore(w1=MINE)}, cluster(), ME, Kind.FAILED_LOCK, "held by w1 by FleetLock for 0 s"),
        ({"": semaphore(m1=OURS)}, cluster(), ME, Kind.FAILED_LOCK, "held by m1 for 0 s"),
        ({"": semaphore(0)}, cluster(), ME, Kind.FAILED_LOCK, "max is 0"),
        # More than one at once
        ({"": semaphore(4, w1=MINE, w2=MINE, w3=MINE)}, cluster(), ME, None, ""),
        # The rule counts machines that nobody else knows, and those that hold
        ({"": semaphore(9, w1=MINE, w2=MINE)}, cluster(clients=0), ME, Kind.FAILED_LOCK, "half or more"),
        ({"": semaphore(9, w1=MINE)}, cluster(clients=0), ME, None, ""),
        (
            {"": semaphore(9), "g": semaphore(9, a=OURS, b=OURS)},
            cluster(clients=0),
            ME,
            Kind.FAILED_LOCK,
            "half",
        ),
        # A client whose machine is a member of etcd
        ({"": semaphore(9)}, cluster(own="m0"), ME, None, ""),
        ({"": semaphore(9)}, cluster(own="m0", unhealthy=1), ME, Kind.FAILED_LOCK, "m2 is down or about"),
        ({"": semaphore(9, m1=OURS)}, cluster(own="m0"), ME, Kind.FAILED_LOCK, "cannot be spared"),
        # Its name is taken
        ({"": semaphore(2, w0=OURS)}, cluster(), ME, Kind.FAILED_LOCK, "not by FleetLock"),
    ],
)
def test_who_gets_the_lock(
    locks: dict[str, Semaphore], view: Cluster, client: Client, kind: Kind | None, words: str
) -> None:
    if kind is None:
        after = admitted(Locks(locks), view, client, MINE)
        assert after.holding[client.id] == MINE
        assert client.id in after.ids
        return
    with pytest.raises(FleetLockError) as caught:
        admitted(Locks(locks), view, client, MINE)
    assert caught.value.kind is kind
    assert words in caught.value.message


@pytest.mark.parametrize("most", [1, 2])
def test_who_has_it_has_it_again(most: int) -> None:
    """Also when all locks are taken, and whatever the rule says now."""
    with pytest.raises(HolderExistsError):
        admitted(Locks({"": semaphore(most, w0=MINE)}), cluster(unhealthy=2), ME, MINE)


def test_a_member_that_a_client_holds_for_counts_as_down() -> None:
    holders = {"w0": Holding(NOW_S, member="m1", fleetlock=True)}
    assert "m1 is down or about to be" in why_not(cluster(own="m0"), holders, "a")
    assert gone(cluster(unhealthy=2), "w0", holders["w0"]) == "its etcd member does not answer"


def test_nobody_here_knows_whether_a_client_is_gone() -> None:
    view = Cluster(machines=frozenset({"a"}))
    assert gone(view, "w0", MINE) == ""
    assert gone(view, "w0", OURS) == "fleet does not hear of it"


def test_what_a_client_gives_back() -> None:
    unknown = Semaphore(0, 1, ("w0",))  # as the original's tools leave it
    for holding, mine in ((MINE, True), (OURS, False), (Holding(NOW_S), False)):
        assert held(Locks({"": semaphore(w0=holding)}), ME) == (("",) if mine else ())
    assert held(Locks({"": unknown}), ME) == ("",)
    # It had another group before it started anew.
    locks = Locks({"old": semaphore(w0=MINE), "": semaphore(w1=MINE)})
    assert held(locks, ME) == ("old",)
    assert released(locks, "old", ME, NOW_S) == Semaphore(1, 1, (), {}, NOW_S)
    with pytest.raises(NoHolderError):
        released(Locks({"": semaphore(w0=OURS)}), "", ME, NOW_S)


def test_groups() -> None:
    assert group_of(Client("a", "default")) == ""
    assert group_of(Client("a", "workers")) == "workers"


def test_which_clients_count() -> None:
    sightings = {
        "fresh": Sighting(NOW_S),
        "old": Sighting(NOW_S - REMEMBERED_S + 1),
        "gone": Sighting(NOW_S - REMEMBERED_S),
        "member": Sighting(NOW_S, "m1"),
        "was-member": Sighting(NOW_S, "m9"),
    }
    assert machines(sightings, NOW_S, {"m0", "m1"}) == {"fresh", "old", "was-member"}
    assert expired(sightings, NOW_S) == ("gone",)


def test_when_a_client_is_noted() -> None:
    assert is_news(None, "", NOW_S)
    assert not is_news(Sighting(NOW_S - NOTED_EVERY_S + 1), "", NOW_S)
    assert is_news(Sighting(NOW_S - NOTED_EVERY_S), "", NOW_S)
    assert is_news(Sighting(NOW_S), "m1", NOW_S)


CLIENT_IDS = [f"w{n}" for n in range(8)]


@given(
    st.integers(0, 8),
    st.sampled_from([1, 3, 5]),
    st.integers(0, 8),
    st.lists(st.tuples(st.booleans(), st.sampled_from(CLIENT_IDS)), max_size=40),
)
def test_never_too_many_and_only_ones_own(
    most: int, members: int, known: int, asks: list[tuple[bool, str]]
) -> None:
    locks = Locks({"": semaphore(most)})
    view = cluster(members, clients=known)
    for locking, name in asks:
        client = Client(name, "default")
        before = locks.of("")
        try:
            after = admitted(locks, view, client, MINE) if locking else released(locks, "", client, NOW_S)
        except (FleetLockError, HolderExistsError, NoHolderError):
            continue
        assert set(after.ids) ^ set(before.ids) == {name}
        assert len(after.ids) <= most
        everybody = members + len(set(after.ids) | view.clients)
        assert len(after.ids) <= 1 or 2 * len(after.ids) < everybody
        locks = Locks({"": after})
