"""Fixtures that several rooms share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.etcd import Cluster


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Cluster]:
    """A real etcd of one member, for this test alone."""
    with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def release() -> Path:
    """The folder of a release made from this checkout, in its usual place: built once, then found again."""
    from argosy.base.progress import Silent
    from argosy.image.build import Request, ensure_release

    return ensure_release(Request(), Silent()).folder
