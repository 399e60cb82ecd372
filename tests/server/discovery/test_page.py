"""The page for people: who is there, who is missing, and nothing that a member wrote is markup."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from argosy.server.discovery.model import Cluster, Member
from argosy.server.discovery.page import Row, render, rows

TOKEN = "0" * 32


def test_rows_are_places_in_order_then_the_late() -> None:
    members = (
        Member("id3", "three=http://h:3", 9, 9),
        Member("id1", "one=http://h:1&one=http://h:11", 4, 4),
        Member("id2", "no pair", 6, 6),
    )
    assert rows(Cluster(TOKEN, 2, 1, members)) == (
        Row(1, "one", ("http://h:1", "http://h:11"), False),
        Row(2, "id2", ("no pair",), False),
        Row(3, "three", ("http://h:3",), True),
    )
    assert rows(Cluster(TOKEN, 2, 1, members[:1])) == (
        Row(1, "three", ("http://h:3",), False),
        Row(2, "", (), False),
    )


def test_the_page_says_how_many_are_missing() -> None:
    one = Cluster(TOKEN, 3, 1, (Member("id", "one=http://h:1", 2, 2),))
    page = render(one)
    assert "<title>1 of 3 members registered</title>" in page
    assert page.count('<td class="quiet">missing</td>') == 2
    assert "when 2 more members have come" in page
    assert TOKEN not in page


def test_an_unknown_cluster() -> None:
    assert "No such cluster" in render(None)


@given(st.text(), st.text())
def test_nothing_registered_becomes_markup(name: str, value: str) -> None:
    hostile = Member(name, f"{value}<script>alert(1)</script>=\"'><img src=x>", 2, 2)
    page = render(Cluster(TOKEN, 1, 1, (hostile,)))
    plain = render(Cluster(TOKEN, 1, 1, (Member("id", "n=u", 2, 2),)))
    # Each `&` in a value begins one more line of the page's own.
    assert page.replace("<br>", "").count("<") == plain.count("<")
