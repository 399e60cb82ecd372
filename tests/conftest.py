"""Fixtures that several rooms share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from tests.etcd import Cluster

# A loaded machine is slow now and then: that is no defect of what is tested.
settings.register_profile("argosy", deadline=None)
settings.load_profile("argosy")

# A shell that starts tests in the background has them ignore Ctrl-C, and every program that they start, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need root (namespaces, mounts, control groups) are skipped without it."""
    for item in items:
        if item.get_closest_marker("root") is not None and os.getuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root (namespaces, nspawn)"))


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Cluster]:
    """A real etcd of one member, for this test alone."""
    with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def release() -> Path:
    """The folder of this checkout's release in its usual place, found or made as by `argosy up`."""
    from argosy.base.progress import Silent
    from argosy.lab.wiring import find_release

    return find_release(None, Silent()).folder
