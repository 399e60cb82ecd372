"""The early look at this real host."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.lab.host.check import HostError, check_host


def test_what_every_debian_has_passes() -> None:
    check_host(["sh", "dpkg"], files=[Path("/etc/passwd")])


def test_what_is_missing_is_named_with_the_way_out() -> None:
    with pytest.raises(HostError) as caught:
        check_host(["sh", "no-such-program"], files=[Path("/no/such/file")])
    assert caught.value.message == "this host lacks no-such-program, /no/such/file"
    assert caught.value.hint == "run `argosy setup`"
