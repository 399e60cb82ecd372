"""How many of some machines: a number (`3`) or a share (`10%`)."""

from __future__ import annotations

import re

from argosy.base.errors import InputError

_AMOUNT = re.compile(r"(?P<number>[1-9][0-9]{0,6})|(?P<percent>[1-9][0-9]?|100)%")


def check_amount(text: str) -> None:
    """Check that `text` is a number from 1 on or a share from 1% to 100%. Raises `InputError`."""
    if not _AMOUNT.fullmatch(text):
        raise InputError(
            f"{text!r} is neither a number nor a share of machines", hint="for example 1, 25 or 10%"
        )


def amount_of(text: str, machines: int) -> int:
    """How many machines that is of `machines`: at least one; a part of one does not count.

    Raises `InputError`.
    """
    check_amount(text)
    if text.endswith("%"):
        return max(1, machines * int(text[:-1]) // 100)
    return int(text)
