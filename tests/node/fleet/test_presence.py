"""When a machine counts as gone."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from argosy.node.fleet.presence import GAP, Contact

TTL_S = 30.0


def contact(answers: list[float]) -> Contact:
    """In touch at these times."""
    found = Contact(answers[0], answers[0])
    for now_s in answers[1:]:
        found = found.answered(now_s, TTL_S)
    return found


def test_a_steady_contact_may_evict_after_a_lease_s_life() -> None:
    steady = contact([float(now_s) for now_s in range(0, 31, 5)])
    assert not steady.may_evict(30.0, TTL_S)
    assert steady.answered(35, TTL_S).may_evict(35.1, TTL_S)


def test_a_frozen_etcd_starts_the_wait_anew() -> None:
    before = contact([float(now_s) for now_s in range(0, 101, 5)])
    assert before.may_evict(101, TTL_S)
    after = before.answered(145, TTL_S)
    assert not after.may_evict(145, TTL_S)
    for now_s in range(150, 176, 5):
        after = after.answered(float(now_s), TTL_S)
        assert not after.may_evict(float(now_s), TTL_S)
    assert after.answered(176, TTL_S).may_evict(176, TTL_S)


def test_the_end_of_our_own_lease_starts_the_wait_anew() -> None:
    steady = contact([float(now_s) for now_s in range(0, 101, 5)])
    assert not steady.interrupted(101).may_evict(101, TTL_S)


def test_silence_is_no_contact() -> None:
    steady = contact([float(now_s) for now_s in range(0, 101, 5)])
    assert not steady.may_evict(100 + TTL_S * GAP + 1, TTL_S)


@given(st.lists(st.floats(0.01, 60), min_size=1, max_size=80))
def test_eviction_needs_answers_without_a_gap_for_longer_than_a_lease_lives(pauses_s: list[float]) -> None:
    now_s = 0.0
    found = Contact(0.0, 0.0)
    answers = [0.0]
    for pause_s in pauses_s:
        now_s += pause_s
        found = found.answered(now_s, TTL_S)
        answers.append(now_s)
        if found.may_evict(now_s, TTL_S):
            recent = [time_s for time_s in answers if time_s >= now_s - TTL_S]
            assert min(answers) < now_s - TTL_S
            edges = [max(time_s for time_s in answers if time_s < now_s - TTL_S), *recent]
            gaps = [later - earlier for earlier, later in itertools.pairwise(edges)]
            # The part of the first gap that lies before the lease's life does not count.
            assert all(gap <= TTL_S * GAP + 1e-6 for gap in gaps[1:])


@given(st.floats(0, TTL_S / 3), st.floats(0, TTL_S / 3))
def test_a_gap_that_passes_unnoticed_ends_no_lease_of_a_machine_that_works(
    since_renewal_s: float, frozen_s: float
) -> None:
    """A machine renews every third of a lease's life; etcd stands still right before, as long as may be."""
    retry_s = TTL_S / 3 * 0.9
    assert since_renewal_s + frozen_s + retry_s < TTL_S
