"""The cluster's own server, started as the lab starts it."""

from __future__ import annotations

import stat
import urllib.request

import pytest

from argosy.lab import server
from argosy.lab.model import Site


@pytest.mark.timeout(120)
def test_it_keeps_its_token_and_packages_in_the_clusters_folder(site: Site) -> None:
    server.start(site, "10.0.2.2")
    try:
        assert server.is_up(site)
        assert stat.S_IMODE(server.token_file(site).stat().st_mode) == 0o600
        port = site.cluster.server_port
        assert server.update_url(site, "10.0.2.2") == f"http://10.0.2.2:{port}/v1/update/"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30) as answer:
            assert answer.status == 200
    finally:
        server.stop(site)
    assert not server.is_up(site)
