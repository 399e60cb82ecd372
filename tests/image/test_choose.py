"""Which version a build makes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from argosy.formats.version import Version
from argosy.image.choose import choose_version

TODAY = Version(4891)
VERSIONS = st.builds(Version, st.integers(4889, 4892), st.integers(0, 1), st.integers(0, 3))
EXISTING = st.dictionaries(VERSIONS, st.sampled_from(["a", "b"]), max_size=6)


def test_the_first_of_the_day() -> None:
    assert choose_version({}, "a", wanted=None, today=TODAY).version == TODAY


def test_an_older_one_of_the_same_inputs_is_taken() -> None:
    choice = choose_version({Version(4880): "a", Version(4891): "b"}, "a", wanted=None, today=TODAY)
    assert (choice.version, choice.reuse) == (Version(4880), True)


def test_a_change_on_the_same_day_takes_the_next_patch() -> None:
    existing = {Version(4891): "a", Version(4891, 0, 4): "b", Version(4891, 2, 9): "c"}
    choice = choose_version(existing, "d", wanted=None, today=TODAY)
    assert (choice.version, choice.reuse) == (Version(4891, 0, 5), False)


def test_a_wanted_version_is_made_anew_when_inputs_changed() -> None:
    for inputs, reuse in (("a", True), ("b", False)):
        choice = choose_version({Version(5): "a"}, inputs, wanted=Version(5), today=TODAY)
        assert (choice.version, choice.reuse) == (Version(5), reuse)


@given(EXISTING, st.none() | VERSIONS)
def test_no_release_of_other_inputs_is_taken_or_by_default_replaced(
    existing: dict[Version, str], wanted: Version | None
) -> None:
    choice = choose_version(existing, "a", wanted=wanted, today=TODAY)
    assert choice.reuse == (existing.get(choice.version) == "a")
    assert choice.version == wanted if wanted else choice.reuse or choice.version not in existing
    assert choice.reason
