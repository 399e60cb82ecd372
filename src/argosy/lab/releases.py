"""Releases and the clusters that were made from them; which releases can go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from argosy.base.progress import Progress
from argosy.image.releases import KeptRelease, kept_releases, remove_release
from argosy.lab.model import Cluster
from argosy.lab.store import Store

AUTOMATIC_KEEP = 3


@dataclass(frozen=True, slots=True)
class ReleaseUse:
    """A release on this host. `automatic`: its version was not asked for; `development`: a development key
    signs it; `clusters`: the names of those that were made from it."""

    version: str
    channel: str
    folder: str
    size_bytes: int
    automatic: bool
    development: bool
    clusters: tuple[str, ...]


def look(store: Store) -> list[ReleaseUse]:
    """The releases that are kept, the newest first."""
    return uses(kept_releases(), [store.existing(name).cluster for name in store.names()])


def uses(kept: Iterable[KeptRelease], clusters: Sequence[Cluster]) -> list[ReleaseUse]:
    """Each release with its clusters, in the order given."""
    by_folder: dict[str, list[str]] = {}
    for cluster in clusters:
        by_folder.setdefault(cluster.release_folder, []).append(cluster.name)
    return [
        ReleaseUse(
            version=one.release.version,
            channel=one.release.channel,
            folder=str(one.folder),
            size_bytes=one.size_bytes,
            automatic=one.automatic,
            development=one.release.development,
            clusters=tuple(by_folder.get(str(one.folder.resolve()), ())),
        )
        for one in kept
    ]


def superfluous(releases: Iterable[ReleaseUse], *, keep: int) -> list[ReleaseUse]:
    """Those that no cluster uses, but for the first `keep` of all."""
    return [release for release in list(releases)[keep:] if not release.clusters]


def prune(store: Store, progress: Progress, *, keep: int) -> list[ReleaseUse]:
    """Remove releases that no cluster uses and that are not among the newest `keep`; returns them."""
    return _remove(superfluous(look(store), keep=keep), progress)


def prune_automatic(store: Store, progress: Progress) -> list[ReleaseUse]:
    """The same among those whose versions nobody asked for: each change of the sources makes one more."""
    made = [release for release in look(store) if release.automatic]
    return _remove(superfluous(made, keep=AUTOMATIC_KEEP), progress)


def _remove(releases: list[ReleaseUse], progress: Progress) -> list[ReleaseUse]:
    for release in releases:
        with progress.step(f"remove release {release.version}, which no cluster uses"):
            remove_release(Path(release.folder))
    return releases
