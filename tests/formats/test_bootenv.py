"""The boot loader's memory: its bytes, and what the loader makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.formats import grubenv
from argosy.formats.bootenv import BootEnvironment, Choice, choose, could_not_load, decode, encode
from argosy.formats.gpt import SECTOR_BYTES

SLOT = st.sampled_from("ab")
ENVIRONMENTS = st.builds(
    BootEnvironment,
    saved=SLOT,
    queue=st.lists(SLOT, max_size=3).map(tuple),
    tried=st.text("ab", max_size=100),
    failed=st.sampled_from(["", "a:kernel", "b:initrd", "b:config"]),
)


@given(ENVIRONMENTS)
def test_what_is_written_is_read_back(environment: BootEnvironment) -> None:
    block = encode(environment)
    assert decode(block) == environment
    assert block[SECTOR_BYTES:] == b"#" * SECTOR_BYTES


def test_the_variables_are_those_of_the_boot_loader() -> None:
    block = encode(BootEnvironment("b", ("a", "a"), "a", "a:kernel"))
    assert grubenv.decode(block) == {
        "saved_slot": "b",
        "try_1": "a",
        "try_2": "a",
        "try_3": "",
        "tried": "a",
        "failed": "a:kernel",
    }


def test_more_than_a_sector_is_refused() -> None:
    with pytest.raises(grubenv.GrubEnvError, match="one sector"):
        encode(BootEnvironment(tried="a" * 500))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, BootEnvironment("a")),
        ({"saved_slot": "c"}, BootEnvironment("a")),
        ({"saved_slot": "b", "try_2": "a"}, BootEnvironment("b")),
        ({"try_1": "b", "try_2": "", "try_3": "b"}, BootEnvironment("a", ("b",))),
        ({"tried": "bxb"}, BootEnvironment("a", tried="bb")),
        ({"once_slot": "b", "tried_slot": ""}, BootEnvironment("a")),
    ],
)
def test_what_others_wrote_is_read_as_the_boot_loader_reads_it(
    variables: dict[str, str], expected: BootEnvironment
) -> None:
    assert decode(grubenv.encode(variables)) == expected


def test_the_queue_is_taken_one_by_one() -> None:
    environment = BootEnvironment("a", ("b", "b"))
    first = choose(environment)
    assert first == Choice("b", True, BootEnvironment("a", ("b",), "b"))
    second = choose(first.environment)
    assert second == Choice("b", True, BootEnvironment("a", (), "bb"))
    assert choose(second.environment) == Choice("a", False, second.environment)


def test_a_file_that_cannot_be_read_ends_the_queue() -> None:
    after = could_not_load(BootEnvironment("a", ("b", "b"), "b"), "b", "initrd")
    assert after == BootEnvironment("a", (), "b", "b:initrd")
    assert (after.failed_slot, after.failed_part) == ("b", "initrd")
    assert (BootEnvironment(failed="nonsense").failed_slot, BootEnvironment().failed_part) == ("", "")
