"""The decisions: tables for each rule, and what holds for every sequence of requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.formats.discovery import Answer, Failure
from argosy.server.discovery.model import (
    Action,
    Cluster,
    Decision,
    Delete,
    Event,
    Get,
    Limits,
    Member,
    Put,
    Wait,
)
from argosy.server.discovery.protocol import apply, concerns, creation, decide, look_back, unknown_token

TOKEN = "0123456789abcdef0123456789abcdef"
ROOT = f"/_etcd/registry/{TOKEN}"
LIMITS = Limits(registrations=3)
ALPHA = Member("a", "va", 11, 13)
BETA = Member("b", "vb", 12, 12)
CLUSTER = Cluster(TOKEN, 3, 10, (BETA, ALPHA))


@pytest.mark.parametrize(
    ("asked", "status", "code", "cause"),
    [
        (Get("c"), 404, 100, f"{ROOT}/c"),
        (Get("_other"), 404, 100, f"{ROOT}/_other"),
        (Put("a", "x", exists=False), 412, 105, f"{ROOT}/a"),
        (Put("c", "x", exists=True), 404, 100, f"{ROOT}/c"),
        (Put("c", "x", previous_index=11), 404, 100, f"{ROOT}/c"),
        (Put("a", "x", previous_value="no"), 412, 101, "[no != va]"),
        (Put("a", "x", previous_index=11), 412, 101, "[11 != 13]"),
        (Put("a", "x", True, "no", 11), 412, 101, "[no != va] [11 != 13]"),
        (Put("", "x"), 403, 102, ROOT),
        (Put("_config", "x"), 403, 102, f"{ROOT}/_config"),
        (Delete("c"), 404, 100, f"{ROOT}/c"),
        (Delete("_config"), 403, 102, f"{ROOT}/_config"),
        (Delete("a", previous_index=1), 412, 101, "[1 != 13]"),
    ],
)
def test_refusals_change_nothing(asked: Get | Put | Delete, status: int, code: int, cause: str) -> None:
    decision = decide(CLUSTER, 20, asked, LIMITS)
    assert decision.event is None
    assert (decision.status, decision.index) == (status, 20)
    assert isinstance(decision.body, Failure)
    assert (decision.body.error_code, decision.body.cause, decision.body.index) == (code, cause, 20)


@pytest.mark.parametrize(
    ("asked", "status", "event"),
    [
        (Put("c", "x", exists=False), 201, Event(21, Action.CREATE, "c", "x", 21)),
        (Put("c", "x"), 201, Event(21, Action.SET, "c", "x", 21)),
        (Put("a", "x"), 200, Event(21, Action.SET, "a", "x", 21, ALPHA)),
        (Put("a", "x", exists=True), 200, Event(21, Action.UPDATE, "a", "x", 11, ALPHA)),
        (Put("a", "x", previous_value="va"), 200, Event(21, Action.SWAP, "a", "x", 11, ALPHA)),
        (Put("a", "x", True, None, 13), 200, Event(21, Action.SWAP, "a", "x", 11, ALPHA)),
        (Delete("a"), 200, Event(21, Action.DELETE, "a", None, 11, ALPHA)),
        (Delete("a", "va", 13), 200, Event(21, Action.DELETE_COMPARED, "a", None, 11, ALPHA)),
    ],
)
def test_changes(asked: Put | Delete, status: int, event: Event) -> None:
    decision = decide(CLUSTER, 20, asked, LIMITS)
    assert (decision.status, decision.index, decision.event) == (status, 21, event)
    assert isinstance(decision.body, Answer)
    assert decision.body.action == event.action.value
    assert decision.body.node.modified_index == 21
    assert (decision.body.prev_node is None) == (event.previous is None)


def test_the_folder_lists_members_by_age_and_no_configuration() -> None:
    body = decide(CLUSTER, 20, Get(""), LIMITS).body
    assert isinstance(body, Answer)
    assert [node.key for node in body.node.nodes] == [f"{ROOT}/a", f"{ROOT}/b"]
    assert (body.node.dir, body.node.created_index) == (True, 10)


def test_size_is_told() -> None:
    body = decide(CLUSTER, 20, Get("_config/size"), LIMITS).body
    assert isinstance(body, Answer)
    assert (body.node.key, body.node.value) == (f"{ROOT}/_config/size", "3")


def test_registrations_end_at_the_limit_but_old_ones_may_change() -> None:
    full = Cluster(TOKEN, 3, 10, (ALPHA, BETA, Member("c", "vc", 14, 14)))
    refused = decide(full, 20, Put("d", "x", exists=False), LIMITS)
    assert isinstance(refused.body, Failure)
    assert (refused.status, refused.body.cause) == (400, "this cluster has its maximum of 3 registrations")
    assert decide(full, 20, Put("c", "x"), LIMITS).status == 200


def test_unknown_token() -> None:
    decision = unknown_token(TOKEN, 4)
    assert (decision.status, decision.index, decision.event) == (404, 4, None)


@pytest.mark.parametrize(
    ("wait", "matches"),
    [
        (Wait("", True, 21), True),
        (Wait("", True, 22), False),
        (Wait("", True, None), True),
        (Wait("", False, None), False),
        (Wait("a", False, 5), True),
        (Wait("a", True, 5), True),
        (Wait("b", True, 5), False),
        (Wait("_config", True, 5), False),
    ],
)
def test_which_events_a_wait_is_for(wait: Wait, matches: bool) -> None:
    assert concerns(Event(21, Action.CREATE, "a", "x", 21), wait) is matches


def test_the_size_is_an_event_below_the_configuration() -> None:
    assert concerns(creation(3, 10), Wait("_config", True, 1))
    assert not concerns(creation(3, 10), Wait("_conf", True, 1))


def test_a_wait_for_forgotten_history_is_told_so() -> None:
    history = [Event(15, Action.SET, "a", "x", 15), Event(20, Action.SET, "a", "y", 20)]
    answer = look_back(CLUSTER, 30, history, Wait("", True, 14))
    assert answer is not None
    assert isinstance(answer.body, Failure)
    assert (answer.status, answer.body.error_code, answer.body.index) == (400, 401, 30)
    assert answer.body.cause == "the requested history has been cleared [15/14]"
    kept = look_back(CLUSTER, 30, history, Wait("", True, 15))
    assert kept is not None
    assert isinstance(kept.body, Answer)
    assert kept.body.node.modified_index == 15


names = st.sampled_from("abcde")
values = st.sampled_from(["v", "w"])
maybe_index = st.none() | st.integers(1, 30)
requests = st.one_of(
    st.builds(Get, names | st.just("")),
    st.builds(Put, names, values, st.none() | st.booleans(), st.none() | values, maybe_index),
    st.builds(Put, names, values, st.just(False)),
    st.builds(Delete, names, st.none() | values, maybe_index),
)


def run_all(asked: list[Get | Put | Delete]) -> list[tuple[Cluster, Decision, Cluster]]:
    """Each request's decision between the state before and after it."""
    cluster, index, steps = Cluster(TOKEN, 3, 1), 1, []
    for request in asked:
        decision = decide(cluster, index, request, LIMITS)
        after = apply(cluster, decision.event) if decision.event else cluster
        steps.append((cluster, decision, after))
        cluster, index = after, decision.index
    return steps


@given(st.lists(requests, max_size=30))
def test_every_change_takes_the_next_index_and_nothing_else_does(asked: list[Get | Put | Delete]) -> None:
    index = 1
    for _, decision, _ in run_all(asked):
        assert decision.index == index + (decision.event is not None)
        assert decision.event is None or decision.event.index == decision.index
        index = decision.index


@given(st.lists(requests, max_size=30))
def test_the_history_alone_gives_the_state(asked: list[Get | Put | Delete]) -> None:
    steps = run_all(asked)
    replayed = Cluster(TOKEN, 3, 1)
    for _, decision, _ in steps:
        if decision.event:
            replayed = apply(replayed, decision.event)
    assert set(replayed.members) == set(steps[-1][2].members if steps else ())


@given(st.lists(requests, max_size=30))
def test_a_registration_never_takes_another_ones_place(asked: list[Get | Put | Delete]) -> None:
    for request, (before, decision, after) in zip(asked, run_all(asked), strict=True):
        if isinstance(request, Put) and request.exists is False and decision.event:
            assert before.member(request.path) is None
            assert after.by_age()[-1].name == request.path
        assert len(after.members) <= LIMITS.registrations


@given(st.lists(requests, max_size=30), st.integers(1, 31))
def test_waiting_from_any_index_misses_no_event(asked: list[Get | Put | Delete], since: int) -> None:
    """A client that goes on from the index of each event it got sees each of them, once, in order."""
    steps = run_all(asked)
    history = [creation(3, 1), *(decision.event for _, decision, _ in steps if decision.event)]
    cluster, index = Cluster(TOKEN, 3, 1), history[-1].index
    seen = []
    following = since
    while answer := look_back(cluster, index, history, Wait("", True, following)):
        assert isinstance(answer.body, Answer)
        seen.append(answer.body.node.modified_index)
        following = seen[-1] + 1
    assert seen == [event.index for event in history if event.index >= since]
