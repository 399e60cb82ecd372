"""`argosy demo`: a rollout from nothing, with proof. It types commands that its reader could type."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from argosy.base import paths
from argosy.base.decode import decode_json
from argosy.base.errors import EXIT_FAILURE, ArgosyError, InputError
from argosy.base.progress import Silent
from argosy.base.run import run
from argosy.formats.updateapi import Channel, Rollout, RolloutState
from argosy.formats.version import Version, parse_version

if TYPE_CHECKING:
    from argosy.lab.model import Machine, Site
    from argosy.lab.proof import Runs
    from argosy.lab.quorum import QuorumWatch
    from argosy.lab.ticks import Ticker

Answer = TypeVar("Answer")

TICKS = "ticks.jsonl"
QUORUM = "quorum.jsonl"
_NAME = "demo"
_CHANNEL = "stable"
_GROUP = "stable"
_SERVICE_WITHIN_S = 300.0
_ARGOSY = (sys.executable, "-m", "argosy")
_PROBE = "50-bad-version"
# Ten minutes for the probes are for real machines and real faults; the demo knows that it will fail.
_SOON = (
    "grep -qs ^HEALTH_DEADLINE_S= /etc/coreos/update.conf"
    " || echo HEALTH_DEADLINE_S=150 | sudo tee -a /etc/coreos/update.conf"
)
_DEMO = """\
Rollouts from nothing, with proof: they build, publish and watch by commands that are shown, and end with an
error if a promise was broken.
"""
_UPDATE = """\
Three machines with a sample service on each take an update, one after another, while the service is asked
five times a second. Ends with 0 only if every machine runs the new version from its other slot, they left
one at a time, no question stayed without an answer, and etcd kept its quorum.
"""
_ROLLBACK = """\
Three machines are offered a version that fails a health probe of its own. Ends with 0 only if one machine
tried it and went back by itself, the others were not touched, the rollout stopped, and its reason names
machine and probe.
"""
_EXAMPLES = """\
The cluster stays, and both stories go on with it if it is there.

examples:
  argosy demo {0}
  argosy demo {0} --proof ./proof       keep the logs of all questions and answers there
  argosy destroy --name demo            remove the cluster
"""


@dataclass(frozen=True, slots=True)
class Watched:
    """Who watches a rollout."""

    ticker: Ticker
    quorum: QuorumWatch


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this room's commands to the command `argosy`."""
    demo = commands.add_parser(
        "demo",
        help="watch a cluster take an update, or refuse a bad one",
        description=_DEMO,
        epilog="examples:\n  argosy demo update\n  argosy demo rollback\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    stories = demo.add_subparsers(title="stories", metavar="STORY", required=True)
    for name, summary, description, handler in (
        ("update", "an update rolls over three machines", _UPDATE, _update),
        ("rollback", "a bad version is stopped by the first machine", _ROLLBACK, _rollback),
    ):
        story = stories.add_parser(
            name,
            help=summary,
            description=description,
            epilog=_EXAMPLES.format(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        story.add_argument(
            "--name", default=_NAME, help="the cluster, made if missing (default: %(default)s)"
        )
        story.add_argument(
            "--proof", type=Path, metavar="DIR", help="where the logs go (default: the cluster's folder)"
        )
        story.set_defaults(handler=handler)
        if handler is _update:
            story.add_argument(
                "--release", type=Path, metavar="DIR", help="the new version (default: built for it)"
            )


def _update(arguments: argparse.Namespace) -> int:
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
    with _watched(site, folder) as watched:
        _offer(site, release or _build(site, new))
        _follow(site)
        _await_service(watched.ticker, str(new))
    after = _running(site)
    changed = proof.changes(read(folder / TICKS), old, str(new))
    print("\nWhen clients saw the machines change:")
    for change in changed:
        gone, back = _clock(change.last_old), _clock(change.first_new)
        print(f"  {change.machine}  last {old} at {gone}, first {new} at {back}")
    _print_watched(watched, folder)
    return _verdict(
        proof.broken_by_update(
            before, after, str(new), changed, watched.ticker.tally, watched.quorum.without
        ),
        site,
    )


def _rollback(arguments: argparse.Namespace) -> int:
    from argosy.lab import proof

    site = _cluster(arguments.name)
    before = _running(site)
    _, new = _versions(site, before)
    folder = _proof_folder(arguments.proof, site)
    for name in before:
        _on(site, name, _SOON)
    bad = paths.shipped("examples") / "rollout" / "bad-version.toml"
    with _watched(site, folder) as watched:
        _offer(site, _build(site, new, "--manifest", str(bad)))
        _follow(site, ends_with=EXIT_FAILURE)
    rollout = _read(Rollout, "rollout", "--group", _GROUP, "--name", site.cluster.name)
    after = _running(site)
    print(f"\nThe update service says: {rollout.reason}")
    _print_watched(watched, folder)
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

    _type("up", "--name", name, "--example", "hello")
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
    channel = _read(Channel, "channels", _CHANNEL, "--name", site.cluster.name)
    had = [turn.version for turn in channel.history]
    newest = max(parse_version(version) for version in (old, *had))
    return old, replace(newest, patch=newest.patch + 1)


def _build(site: Site, version: Version, *words: str) -> Path:
    out = site.folder / "releases" / str(version)
    _type("build", "--version", str(version), *words, "--out", str(out))
    return out


def _offer(site: Site, release: Path) -> None:
    """Publish a release, and have the machines ask for it now: on their own they do within the hour."""
    _type("publish", str(release), "--channel", _CHANNEL, "--name", site.cluster.name)
    for machine in site.cluster.machines:
        _on(site, machine.name, "update_engine_client", "-check_for_update")


def _follow(site: Site, *, ends_with: int = 0) -> None:
    """Show the rollout until it is done, or has stopped."""
    words = ["--until-done", "--group", _GROUP, "--name", site.cluster.name]
    _type("rollout", "watch", *words, ends_with=ends_with)


def _await_service(ticker: Ticker, version: str) -> None:
    """A version is committed when the system is well; the units that are due on it may still be starting."""
    from argosy.cli.progress import terminal_progress
    from argosy.lab.ticks import EVERY_S

    deadline = time.monotonic() + _SERVICE_WITHIN_S
    with terminal_progress() as progress, progress.step("the sample service on every machine"):
        while time.monotonic() < deadline:
            if all((answer or "").endswith(f" {version}") for answer in ticker.tally.answers.values()):
                return
            time.sleep(EVERY_S)


@contextmanager
def _watched(site: Site, folder: Path) -> Iterator[Watched]:
    from argosy.lab.quorum import QuorumWatch, over_ssh
    from argosy.lab.ticks import Ticker

    names = [machine.name for machine in site.cluster.machines]
    with (
        Ticker(site.cluster.machines, folder / TICKS) as ticker,
        QuorumWatch(over_ssh(site), names, folder / QUORUM) as quorum,
    ):
        yield Watched(ticker, quorum)


def _type(*words: str, ends_with: int = 0) -> None:
    """Run our own command as a user would, and show it. Raises `ArgosyError` if it ends otherwise."""
    print(f"\n$ argosy {shlex.join(words)}", flush=True)
    code = run([*_ARGOSY, *words], capture=False, check=False).returncode
    if code != ends_with:
        raise ArgosyError(f"`argosy {shlex.join(words)}` ended with {code}")


def _on(site: Site, machine: str, *words: str) -> None:
    _type("ssh", "--name", site.cluster.name, machine, "--", *words)


def _read(kind: type[Answer], *words: str) -> Answer:
    """What our own command prints with --json."""
    return decode_json(run([*_ARGOSY, *words, "--json"]).stdout, kind, source=shlex.join(words))


def _proof_folder(wanted: Path | None, site: Site) -> Path:
    return wanted or site.folder / "proof"


def _print_watched(watched: Watched, folder: Path) -> None:
    tally, quorum = watched.ticker.tally, watched.quorum
    print(f"""
{tally.ticks} ticks, five a second: {tally.missed} without an answer from any machine
  at most {tally.silent_at_once} silent at once, slowest first answer {tally.slowest_s:.1f} s
{quorum.samples} looks at etcd: {quorum.without} without quorum
every question and answer: {folder}""")


def _clock(at: str) -> str:
    """The time of day of a log's time."""
    return f"{datetime.fromisoformat(at):%H:%M:%S} UTC"


def _verdict(problems: list[str], site: Site) -> int:
    if problems:
        raise ArgosyError("\n".join(["a promise was broken:", *problems]))
    print(f"\nAll promises were kept. `argosy destroy --name {site.cluster.name}` removes the cluster.")
    return 0
