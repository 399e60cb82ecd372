"""The list of host packages: the real one, and broken ones."""

from __future__ import annotations

import pytest

from argosy.base.errors import InputError
from argosy.base.paths import shipped
from argosy.lab.host.model import Section
from argosy.lab.host.packages import parse_packages


def test_the_list_of_this_repository() -> None:
    lists = parse_packages(shipped("packages/debian.txt").read_text(), source="debian.txt")
    assert "mmdebstrap" in lists[Section.RUN]
    assert not set(lists[Section.RUN]) & set(lists[Section.TESTS]), "listed twice"


def test_sections_keep_their_order_and_may_come_twice() -> None:
    text = "# top\n[tests]\nzip # z\n[run]\nqemu-utils  # q\nxz # x\n[tests]\nzip # again\nfoo # f\n"
    assert parse_packages(text, source="l") == {
        Section.RUN: ("qemu-utils", "xz"),
        Section.TESTS: ("zip", "foo"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("xz # x", "l:1: a package before the first [section]"),
        ("[run]\n\nXZ # x", "l:3: 'XZ' is not a package name"),
        ("[run]\nxz zip # two", "l:2: 'xz zip' is not a package name"),
        ("[run]\n--yes # no option slips in", "l:2: '--yes' is not a package name"),
        ("[run]\nxz", "l:2: xz lacks its reason"),
        ("[test]\nxz # x", "l:1: [test] is not a section"),
    ],
)
def test_broken_lists_name_the_line(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_packages(text, source="l")
    assert str(caught.value) == message
