"""How an error reads."""

from __future__ import annotations

import pytest

from argosy.base.errors import ArgosyError, InputError, Location, describe


@pytest.mark.parametrize(
    ("location", "text"),
    [
        (Location("m.toml"), "m.toml"),
        (Location("m.toml", 3), "m.toml:3"),
        (Location("m.toml", 3, 7), "m.toml:3:7"),
        (Location("m.toml", 0, 7), "m.toml"),
    ],
)
def test_location(location: Location, text: str) -> None:
    assert str(location) == text


def test_description_has_place_message_and_every_line_of_the_hint() -> None:
    error = InputError('unknown key "foo"', where=Location("m.toml", 3, 1), hint="known keys:\na, b")
    assert describe(error, "argosy") == 'argosy: m.toml:3:1: unknown key "foo"\n  known keys:\n  a, b'


def test_description_without_place_and_hint() -> None:
    assert describe(ArgosyError("it broke"), "argosy") == "argosy: it broke"


def test_wrong_input_and_failure_have_different_exit_codes() -> None:
    assert (ArgosyError("x").exit_code, InputError("x").exit_code) == (1, 2)
