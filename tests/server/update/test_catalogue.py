"""Which versions a channel was rolled back from, after any history."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.server.update.catalogue import PROMOTE, PUBLISH, ROLLBACK, withdrawn
from argosy.server.update.model import Turn
from argosy.server.update.ordering import order


def turn(version: str, action: str) -> Turn:
    return Turn(0.0, version, version, action)


@pytest.mark.parametrize(
    ("history", "gone"),
    [
        ([], set()),
        ([("1", PUBLISH), ("2", PUBLISH)], set()),
        ([("1", PUBLISH), ("2", PROMOTE), ("1", ROLLBACK)], {"2"}),
        ([("1", PUBLISH), ("2", PUBLISH), ("3", PUBLISH), ("1", ROLLBACK)], {"2", "3"}),
        ([("1", PUBLISH), ("2", PUBLISH), ("1", ROLLBACK), ("2", PUBLISH)], set()),
        ([("1", PUBLISH), ("2", PUBLISH), ("1", ROLLBACK), ("3", PUBLISH)], {"2"}),
    ],
)
def test_what_is_withdrawn(history: list[tuple[str, str]], gone: set[str]) -> None:
    assert withdrawn([turn(*each) for each in history]) == gone


@given(st.lists(st.builds(turn, st.sampled_from("123456"), st.sampled_from([PUBLISH, PROMOTE, ROLLBACK]))))
def test_what_a_channel_has_is_never_withdrawn(turns: list[Turn]) -> None:
    gone = withdrawn(turns)
    assert gone <= {each.version for each in turns}
    if turns:
        assert turns[-1].version not in gone
    if turns and turns[-1].action == ROLLBACK:
        newer = {each.version for each in turns if order(each.version) > order(turns[-1].version)}
        assert newer <= gone
