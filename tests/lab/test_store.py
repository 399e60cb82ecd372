from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from argosy.base.errors import ArgosyError, InputError
from argosy.base.files import LockedError
from argosy.lab.model import Site
from argosy.lab.store import Store, checked


def test_a_cluster_is_read_as_it_was_saved(store: Store, site: Site) -> None:
    assert store.site("test") == site
    assert store.names() == ["test"]
    changed = store.save(replace(site.cluster, release="2.0.0"))
    assert store.existing("test") == changed


def test_removed_is_removed(store: Store, site: Site) -> None:
    store.remove(site)
    assert store.site("test") is None
    assert not site.folder.exists() and not site.runtime.exists()
    with pytest.raises(InputError, match="there is no cluster 'test'"):
        store.existing("test")


def test_a_folder_without_cluster_json_is_no_cluster(store: Store, site: Site) -> None:
    (site.folder / "cluster.json").unlink()
    assert store.site("test") is None
    assert store.names() == []
    assert store.remove_leftovers("test")
    assert not store.remove_leftovers("test")


@pytest.mark.parametrize("name", ["", "..", "a/b", "-a", "a-", "A", "a" * 33, "ä", ".lock", "a\n"])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(InputError):
        checked(name)


def test_a_second_command_is_told_so(store: Store) -> None:
    with store.locked("one"):
        with (
            pytest.raises(LockedError, match="another command is working on cluster 'one'"),
            store.locked("one"),
        ):
            pass
        with store.locked("two"):
            pass
    with store.locked("one"):
        pass


def test_the_lock_of_a_cluster_that_is_gone_is_gone(store: Store, site: Site) -> None:
    lock = site.folder.with_name("test.lock")
    with store.locked("test"):
        pass
    assert lock.exists()
    with store.locked("test"):
        store.remove(site)
    assert not lock.exists()


def test_the_ports_of_all_clusters_are_known(store: Store, site: Site) -> None:
    with store.choosing_ports() as taken:
        assert site.cluster.server_port in taken
        for machine in site.cluster.machines:
            assert {machine.ssh_port, machine.service_port} <= taken


def test_someone_elses_runtime_folder_is_refused(store: Store, site: Site) -> None:
    site.runtime.rmdir()
    site.runtime.symlink_to(site.folder)
    with pytest.raises(ArgosyError, match="someone else"):
        store.make_runtime(site)


def test_a_damaged_cluster_json_is_named(store: Store, site: Site) -> None:
    (site.folder / "cluster.json").write_text('{"id": 1}')
    with pytest.raises(InputError, match=r"cluster\.json"):
        store.site("test")


def test_a_relative_home_is_not_followed(tmp_path: Path, store: Store) -> None:
    with pytest.raises(InputError):
        store.existing("../../etc")
