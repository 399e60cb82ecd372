"""Which releases are there, who uses them, and which go."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from argosy.formats import release as release_format
from argosy.formats.payload import KeyName
from argosy.formats.release import RELEASE_JSON, Release, UsrImage
from argosy.lab.model import Site
from argosy.lab.releases import AUTOMATIC_KEEP, ReleaseUse, superfluous
from argosy.lab.store import Store

USES = st.lists(
    st.builds(
        ReleaseUse,
        version=st.integers(1, 99).map(lambda number: f"{number}.0.0"),
        channel=st.just("stable"),
        folder=st.just("/f"),
        size_bytes=st.just(1),
        automatic=st.booleans(),
        development=st.booleans(),
        clusters=st.sampled_from([(), ("one",)]),
    ),
    max_size=8,
)


@given(USES, st.integers(0, 9))
def test_what_clusters_use_and_the_newest_stay(releases: list[ReleaseUse], keep: int) -> None:
    gone = superfluous(releases, keep=keep)
    assert all(not release.clusters for release in gone)
    assert all(release in releases[keep:] for release in gone)
    assert [release for release in releases[keep:] if release not in gone and not release.clusters] == []


def make_release(home: Path, version: str, *, automatic: bool = True) -> Path:
    folder = home / "argosy" / "releases" / version
    folder.mkdir(parents=True)
    usr = UsrImage(4096, 4096, "00", "00")
    release = Release(1, version, "stable", "6.12", usr, "d", (), (KeyName("k", "development"),))
    (folder / RELEASE_JSON).write_bytes(release_format.encode(release))
    (folder / "usr.img").write_bytes(b"x" * 100_000)
    if automatic:
        folder.with_name(f".{version}.automatic").touch()
    return folder


def argosy(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {"HOME": str(home), "XDG_DATA_HOME": str(home), "XDG_STATE_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "argosy", "releases", *words],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def listed(home: Path) -> list[Any]:
    return [(one["version"], one["clusters"]) for one in json.loads(argosy(home, "--json").stdout)]


def test_a_user_looks_and_removes(tmp_path: Path, site: Site) -> None:
    assert argosy(tmp_path).stdout == "VERSION  CHANNEL  SIZE  KEY  CLUSTERS\n"
    folders = [make_release(tmp_path, version) for version in ("9.0.0", "10.0.0", "10.0.1")]
    clusters = Store(tmp_path / "argosy" / "clusters")
    clusters.save(replace(site.cluster, release="9.0.0", release_folder=str(folders[0].resolve())))
    assert listed(tmp_path) == [("10.0.1", []), ("10.0.0", []), ("9.0.0", ["test"])]
    done = argosy(tmp_path)
    assert done.stdout.splitlines()[3].split()[0:2] == ["9.0.0", "stable"]
    assert done.stdout.splitlines()[3].split()[-2:] == ["development", "test"]

    assert argosy(tmp_path, "prune", "--keep", "-1").returncode == 2
    assert "removed 10.0.0 (0 MB), which no cluster uses" in argosy(tmp_path, "prune").stdout
    assert listed(tmp_path) == [("10.0.1", []), ("9.0.0", ["test"])]
    assert "nothing to remove" in argosy(tmp_path, "prune").stdout
    removed = json.loads(argosy(tmp_path, "prune", "--keep", "0", "--json").stdout)
    assert [one["version"] for one in removed] == ["10.0.1"]
    assert sorted(path.name for path in folders[0].parent.iterdir()) == [".9.0.0.automatic", "9.0.0"]


def test_a_build_removes_old_ones_that_nobody_asked_for(tmp_path: Path) -> None:
    asked = make_release(tmp_path, "8.0.0", automatic=False)
    versions = [f"9.0.{number}" for number in range(AUTOMATIC_KEEP + 2)]
    folders = [make_release(tmp_path, version) for version in versions]
    program = (
        "from argosy.base.progress import Silent; from argosy.lab.wiring import open_store\n"
        "from argosy.lab.releases import prune_automatic\n"
        "print(*(one.version for one in prune_automatic(open_store(), Silent())))"
    )
    environment = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "9.0.1 9.0.0\n"
    assert [folder.exists() for folder in [asked, *folders]] == [True, False, False, True, True, True]
