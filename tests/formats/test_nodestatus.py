"""The status of a machine: its JSON, and when it counts as ready."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.base.decode import decode_json, encode_json
from argosy.formats.nodestatus import NodeStatus


@given(st.builds(NodeStatus))
def test_its_json_is_read_back(status: NodeStatus) -> None:
    assert decode_json(encode_json(status), NodeStatus, source="x") == status


@pytest.mark.parametrize(
    ("state", "etcd", "fleet", "ready"),
    [
        ("running", "healthy", "registered", True),
        ("degraded", "off", "off", True),
        ("starting", "healthy", "registered", False),
        ("running", "unhealthy", "registered", False),
        ("running", "healthy", "unregistered", False),
    ],
)
def test_ready(state: str, etcd: str, fleet: str, ready: bool) -> None:
    assert NodeStatus("h", "m", "4891.0.0", "A", state, etcd, fleet).ready == ready
