"""What the demos do, and how they judge it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from argosy.base import paths
from argosy.base.errors import EXIT_FAILURE, ArgosyError, InputError
from argosy.base.progress import Silent
from argosy.cli.demo.typed import on_machine, read_json, type_command
from argosy.cli.demo.witnesses import TICKS, await_service, clock, print_watched, watch
from argosy.formats.updateapi import Channel, Rollout, RolloutState
from argosy.formats.version import Version, parse_version

if TYPE_CHECKING:
    from argosy.lab.model import Machine, Site
    from argosy.lab.proof import Runs

_CHANNEL = "stable"
_GROUP = "stable"
_PROBE = "50-bad-version"
# Ten minutes for the probes are for real machines and real faults; the demo knows that it will fail.
_SOON = (
    "grep -qs ^HEALTH_DEADLINE_S= /etc/coreos/update.conf"
    " || echo HEALTH_DEADLINE_S=150 | sudo tee -a /etc/coreos/update.conf"
)


def update(arguments: argparse.Namespace) -> int:
    """An update rolls over all machines. Raises `ArgosyError` if a promise was broken."""
    from argosy.image.build import read_release
    from argosy.lab import proof
    from argosy.lab.ticks import read

    release: Path | None = arguments.release
    chosen = read_release(release).parsed_version if release else None
    site = _cluster(arguments.name)
    before = _running(site)
    old, free = _versions(site, before)
    new = chosen or free
    folder = _proof_folder(arguments.proof, site)
    with watch(site, folder) as watched:
        _offer(site, release or _build(site, new))
        _follow(site)
        await_service(watched.ticker, str(new))
    after = _running(site)
    changed = proof.changes(read(folder / TICKS), old, str(new))
    print("\nWhen clients saw the machines change:")
    for change in changed:
        gone, back = clock(change.last_old), clock(change.first_new)
        print(f"  {change.machine}  last {old} at {gone}, first {new} at {back}")
    print_watched(watched, folder)
    return _verdict(
        proof.broken_by_update(
            before, after, str(new), changed, watched.ticker.tally, watched.quorum.without
        ),
        site,
    )


def rollback(arguments: argparse.Namespace) -> int:
    """A bad version is stopped by the first machine. Raises `ArgosyError` if a promise was broken."""
    from argosy.lab import proof

    site = _cluster(arguments.name)
    before = _running(site)
    _, new = _versions(site, before)
    folder = _proof_folder(arguments.proof, site)
    for name in before:
        on_machine(site, name, _SOON)
    bad = paths.shipped("examples") / "rollout" / "bad-version.toml"
    with watch(site, folder) as watched:
        _offer(site, _build(site, new, "--manifest", str(bad)))
        _follow(site, ends_with=EXIT_FAILURE)
    rollout = read_json(Rollout, "rollout", "--group", _GROUP, "--name", site.cluster.name)
    after = _running(site)
    print(f"\nThe update service says: {rollout.reason}")
    print_watched(watched, folder)
    problems = proof.broken_by_bad_version(
        before, after, rollout.culprit_name, watched.ticker.tally, watched.quorum.without
    )
    if rollout.state is not RolloutState.STOPPED or _PROBE not in rollout.reason:
        problems.append(f"the rollout is {rollout.state.value}, because {rollout.reason}")
    return _verdict(problems, site)


def _cluster(name: str) -> Site:
    """The cluster, brought up."""
    from argosy.lab.model import DriverName
    from argosy.lab.wiring import open_lab

    type_command("up", "--name", name, "--example", "hello")
    site = open_lab(Silent()).site(name)
    if site.cluster.driver is not DriverName.QEMU:
        raise InputError(
            f"the cluster {name} has no slots: its machines are containers", hint="choose another --name"
        )
    return site


def _running(site: Site) -> dict[str, Runs]:
    """What each machine runs. Raises `ArgosyError` if one does not say."""
    from argosy.lab.parallel import in_parallel
    from argosy.lab.proof import Runs
    from argosy.lab.status import boot_id, node_status

    def ask(machine: Machine) -> Runs:
        status = node_status(site, machine)
        if status is None:
            raise ArgosyError(
                f"{machine.name} does not answer",
                hint=f"argosy logs --name {site.cluster.name} {machine.name}",
            )
        return Runs(status.version, status.slot or "", boot_id(site, machine))

    machines = site.cluster.machines
    return dict(zip((machine.name for machine in machines), in_parallel(ask, machines), strict=True))


def _versions(site: Site, before: Mapping[str, Runs]) -> tuple[str, Version]:
    """What all machines run, and the next version, which the channel has not had either."""
    versions = {runs.version for runs in before.values()}
    if len(versions) > 1:
        raise ArgosyError(
            f"{site.cluster.name}'s machines run different versions: {', '.join(sorted(versions))}",
            hint=f"argosy destroy --name {site.cluster.name}, then try again",
        )
    [old] = versions
    channel = read_json(Channel, "channels", _CHANNEL, "--name", site.cluster.name)
    had = [turn.version for turn in channel.history]
    newest = max(parse_version(version) for version in (old, *had))
    return old, replace(newest, patch=newest.patch + 1)


def _build(site: Site, version: Version, *words: str) -> Path:
    out = site.folder / "releases" / str(version)
    type_command("build", "--version", str(version), *words, "--out", str(out))
    return out


def _offer(site: Site, release: Path) -> None:
    """Publish a release, and have the machines ask for it now: on their own they do within the hour."""
    type_command("publish", str(release), "--channel", _CHANNEL, "--name", site.cluster.name)
    for machine in site.cluster.machines:
        on_machine(site, machine.name, "update_engine_client", "-check_for_update")


def _follow(site: Site, *, ends_with: int = 0) -> None:
    """Show the rollout until it is done, or has stopped."""
    words = ["--until-done", "--group", _GROUP, "--name", site.cluster.name]
    type_command("rollout", "watch", *words, ends_with=ends_with)


def _proof_folder(wanted: Path | None, site: Site) -> Path:
    return wanted or site.folder / "proof"


def _verdict(problems: list[str], site: Site) -> int:
    if problems:
        raise ArgosyError("\n".join(["a promise was broken:", *problems]))
    print(f"\nAll promises were kept. `argosy destroy --name {site.cluster.name}` removes the cluster.")
    return 0
