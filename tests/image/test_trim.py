"""Path patterns, and what they take out of a tree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.image.manifest import Trim
from argosy.image.tree import Folder, Tree
from argosy.image.trim import compile_patterns, trim


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("usr/share/doc", "usr/share/doc", True),
        ("usr/share/doc", "usr/share/doc/x/y", True),
        ("usr/share/doc", "usr/share/doc-base", False),
        ("usr/*/doc", "usr/share/doc", True),
        ("usr/*/doc", "usr/share/x/doc", False),
        ("usr/**/doc", "usr/share/x/doc", True),
        ("usr/lib/*.a", "usr/lib/libx.a", True),
        ("usr/lib/*.a", "usr/lib/libx.so", False),
        ("etc/rc?.d", "etc/rc5.d/S01x", True),
        ("etc/rc[0-3].d", "etc/rc5.d", False),
        ("usr/bin/{apt,apt-*}", "usr/bin/apt-get", True),
        ("usr/bin/{apt,apt-*}", "usr/bin/aptitude", False),
        ("usr/{bin/{a,b},sbin/c}", "usr/bin/b", True),
        ("usr/{bin/{a,b},sbin/c}", "usr/sbin/b", False),
        ("usr/lib/a+b(c)", "usr/lib/a+b(c)", True),
        ("etc/a,b", "etc/a,b", True),
    ],
)
def test_patterns(pattern: str, path: str, matches: bool) -> None:
    assert bool(compile_patterns([pattern]).fullmatch(path)) == matches


def test_no_pattern_matches_nothing() -> None:
    assert not compile_patterns([]).fullmatch("")


PATHS = st.sampled_from(["usr", "usr/a", "usr/a/b", "usr/a/c", "usr/d", "etc", "etc/e"])


@given(st.sets(PATHS), st.lists(PATHS, max_size=3), st.lists(PATHS, max_size=2))
def test_what_is_left(present: set[str], goes: list[str], stays: list[str]) -> None:
    """Exactly what no rule names, or what the rule keeps; trimming again changes nothing."""
    tree: Tree = {path: Folder() for path in present}
    rule = Trim("why", tuple(goes), tuple(stays))
    left = trim(tree, [rule])

    def under(path: str, roots: list[str]) -> bool:
        return any(path == root or path.startswith(root + "/") for root in roots)

    assert set(left) == {path for path in present if not under(path, goes) or under(path, stays)}
    assert trim(left, [rule]) == left
