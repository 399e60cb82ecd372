"""Numbers and shares of machines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.base.errors import InputError
from argosy.formats.shares import amount_of


@pytest.mark.parametrize(
    ("text", "machines", "amount"),
    [
        ("1", 1000, 1),
        ("25", 3, 25),
        ("10%", 1000, 100),
        ("10%", 19, 1),
        ("10%", 3, 1),
        ("10%", 0, 1),
        ("50%", 3, 1),
        ("99%", 100, 99),
        ("100%", 7, 7),
    ],
)
def test_amounts(text: str, machines: int, amount: int) -> None:
    assert amount_of(text, machines) == amount


@pytest.mark.parametrize(
    "text", ["", "0", "0%", "101%", "-1", "1.5%", "% 5", "all", "1 %", "12345678", "\u0663"]
)
def test_what_is_neither(text: str) -> None:
    with pytest.raises(InputError, match="neither a number nor a share"):
        amount_of(text, 10)


@given(st.integers(1, 100), st.integers(0, 10**6))
def test_a_share_is_at_least_one_and_never_rounded_up(percent: int, machines: int) -> None:
    amount = amount_of(f"{percent}%", machines)
    assert amount == 1 or amount * 100 <= machines * percent < (amount + 1) * 100
