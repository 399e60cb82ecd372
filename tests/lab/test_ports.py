from __future__ import annotations

import socket

import pytest

from argosy.base.errors import ArgosyError
from argosy.lab import ports


def test_a_port_in_use_is_passed_over() -> None:
    [first] = ports.choose(1, start=23001, taken=())
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", first))
        holder.listen()
        assert not ports.is_free(first)
        assert first not in ports.choose(3, start=23001, taken=())
    assert ports.is_free(first)


def test_a_port_of_a_halted_cluster_is_passed_over() -> None:
    [first] = ports.choose(1, start=23001, taken=())
    assert first not in ports.choose(2, start=23001, taken={first})


def test_all_taken_is_a_plain_error() -> None:
    with pytest.raises(ArgosyError, match="no 1 free ports") as caught:
        ports.choose(1, start=23001, taken=range(65536))
    assert caught.value.hint


def test_clusters_that_cannot_see_each_other_start_apart() -> None:
    assert ports.choose(1, start=23001, taken=(), skip=450)[0] >= 23001 + 450
    assert ports.choose(2, start=23001, taken={23900}, skip=899)[0] < 23450, "around the end"
