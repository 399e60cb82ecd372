"""The store keeps exactly what the protocol decided, in a real SQLite file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.formats.discovery import Answer, Failure
from argosy.server.database import open_database, sqlite_url
from argosy.server.discovery import protocol
from argosy.server.discovery.model import Cluster, Decision, Delete, Get, Limits, Put, Wait
from argosy.server.discovery.store import SCHEMA, Store

ONE, TWO = "1" * 32, "2" * 32
LIMITS = Limits(history=4)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_database(sqlite_url(tmp_path / "server.sqlite"), [SCHEMA]) as database:
        yield Store(database, LIMITS)


def test_indexes_are_shared_by_all_clusters(store: Store) -> None:
    store.create(ONE, 3)
    store.create(TWO, 3)
    assert store.answer(ONE, Put("a", "x")).index == 3
    assert store.answer(TWO, Put("a", "x")).index == 4
    assert store.answer(ONE, Get("a")).index == 4
    assert store.count() == (2, 2)


def test_clusters_do_not_see_each_other(store: Store) -> None:
    store.create(ONE, 3)
    store.create(TWO, 5)
    store.answer(ONE, Put("a", "x"))
    seen = store.look(TWO)
    assert seen.cluster == Cluster(TWO, 5, 2)
    assert seen.index == 3


@pytest.mark.parametrize("asked", [Get(""), Put("a", "x"), Delete("a")])
def test_an_unknown_token_is_not_found_and_not_begun(store: Store, asked: Get | Put | Delete) -> None:
    assert store.answer(ONE, asked) == protocol.unknown_token(ONE, 0)
    assert store.look(ONE).cluster is None


def event_index(found: Decision | None) -> int:
    assert found is not None
    assert isinstance(found.body, Answer)
    return found.body.node.modified_index


def test_the_past_is_looked_back_on_until_it_is_forgotten(store: Store) -> None:
    store.create(ONE, 3)
    for value in "vwx":
        store.answer(ONE, Put("a", value))
    assert event_index(store.look_back(ONE, Wait("", True, 1))[1]) == 1
    assert event_index(store.look_back(ONE, Wait("a", False, 1))[1]) == 2
    assert store.look_back(ONE, Wait("", True, 5)) == (4, None)
    store.answer(ONE, Delete("a"))
    _, cleared = store.look_back(ONE, Wait("", True, 1))
    assert cleared is not None
    assert isinstance(cleared.body, Failure)
    assert cleared.body.error_code == 401
    assert event_index(store.look_back(ONE, Wait("", True, 2))[1]) == 2


def test_all_of_an_event_is_kept(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "server.sqlite")
    with open_database(url, [SCHEMA]) as database:
        store = Store(database, LIMITS)
        store.create(ONE, 3)
        answers = [
            store.answer(ONE, asked).body for asked in (Put("a", "v"), Put("a", "w"), Delete("a", "w"))
        ]
    with open_database(url, [SCHEMA]) as database:
        store = Store(database, LIMITS)
        found = [store.look_back(ONE, Wait("a", False, index))[1] for index in (2, 3, 4)]
    assert [decision.body for decision in found if decision] == answers


names, values = st.sampled_from("abc"), st.sampled_from("vw")
requests = st.one_of(
    st.builds(Put, names, values, st.none() | st.booleans(), st.none() | values),
    st.builds(Delete, names),
    st.builds(Get, names | st.just("")),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(requests, max_size=15))
def test_the_store_answers_as_the_protocol_does(asked: list[Get | Put | Delete]) -> None:
    cluster, index = Cluster(ONE, 3, 1), 1
    with (
        TemporaryDirectory() as folder,
        open_database(sqlite_url(Path(folder) / "server.sqlite"), [SCHEMA]) as database,
    ):
        store = Store(database, LIMITS)
        store.create(ONE, 3)
        for request in asked:
            expected = protocol.decide(cluster, index, request, LIMITS)
            assert store.answer(ONE, request) == expected
            index = expected.index
            cluster = protocol.apply(cluster, expected.event) if expected.event else cluster
        kept = store.look(ONE)
    assert kept.cluster is not None
    assert replace(kept.cluster, members=kept.cluster.by_age()) == replace(cluster, members=cluster.by_age())
