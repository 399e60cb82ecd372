"""Power cuts at random moments of updates: each time a verified system boots, and the update ends well.

`python -m tests.vm.chaos` makes the cuts and prints what came of them, as Markdown.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from tests.vm.cuts import Cut, Phase, Round, schedule
from tests.vm.updates import LEAN, Node, next_version, one_machine

from argosy.base import cli
from argosy.cli.progress import terminal_progress
from argosy.formats.updateapi import State
from argosy.image.build import Request, ensure_release, read_release
from argosy.lab import ssh

_PATIENCE_S = 600.0
_LOOK_EVERY_S = 0.2
# About how long the phases take on an emulated machine.
_LASTS_S = {Phase.DOWNLOAD: 40.0, Phase.FINISH: 12.0, Phase.REBOOT: 50.0, Phase.COMMIT: 20.0}

_EPILOG = """\
examples:
  python -m tests.vm.chaos                      30 cuts, on two machines side by side
  python -m tests.vm.chaos --cuts 5 --seed 7 --machines 1
"""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Came:
    """What came of a cut on the way to `target`: `version` booted. The `last` one was that of its update."""

    cut: Cut
    version: str
    target: str
    last: bool


class Chaos:
    """Updates of one machine, to and fro between two releases (folders, the older first), with cuts."""

    def __init__(self, node: Node, releases: tuple[Path, Path], tell: Tell) -> None:
        self._node = node
        self._newer = releases[1]
        self._old, self._new = (read_release(folder).version for folder in releases)
        self._tell = tell
        node.publish(releases[0])

    def run(self, rounds: list[Round]) -> list[Came]:
        """Make all cuts. Raises `AssertionError` if the machine, or an update, does not make it."""
        return [came for one in rounds for came in self._round(one)]

    def _offer(self, running: str) -> str:
        """Give the machine's channel the other version, and return that."""
        if running == self._old:
            self._node.publish(self._newer)
            return self._new
        self._node.argosy("rollback-channel", "stable")
        return self._old

    def _round(self, cuts: Round) -> list[Came]:
        running = self._node.ready().version
        target = self._offer(running)
        self._tell(f"update from {running} to {target}")
        came = [self._cut(cut, target, last=cut is cuts[-1]) for cut in cuts]
        self._complete(target)
        self._tell(f"{target} runs and is committed")
        return came

    def _cut(self, cut: Cut, target: str, *, last: bool) -> Came:
        if self._node.ready().version == target:
            # The cut before came when all was installed: the new version is up already, and on trial.
            cut = replace(cut, phase=Phase.COMMIT)
            client = None
        else:
            client = self._enter(cut.phase)
        after_s = cut.fraction * _LASTS_S[cut.phase]
        time.sleep(after_s)
        self._node.argosy("kill", self._node.name)
        if client:
            client.kill()
            client.wait()
        self._node.argosy("start", self._node.name)
        look = self._node.ready()
        assert look.verified and look.version in (self._old, self._new), look
        self._tell(f"cut {after_s:.1f} s into {cut.phase.value}: {look.version} boots from slot {look.slot}")
        return Came(cut, look.version, target, last)

    def _enter(self, phase: Phase) -> subprocess.Popen[bytes] | None:
        """Bring the machine to the beginning of a phase; returns the client that runs on it, if one does."""
        before = self._node.ready()
        if phase in (Phase.DOWNLOAD, Phase.FINISH):
            words = ssh.command(self._node.argosy.site, self._node.machine, ["update_engine_client -update"])
            client = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            begun = (State.DOWNLOADING,) if phase is Phase.DOWNLOAD else ()
            self._wait_for(*begun, State.DOWNLOADED, State.INSTALLED)
            return client
        self._node.update()
        self._node.reboot()
        if phase is Phase.COMMIT:
            self._node.restarted(before)
        return None

    def _wait_for(self, *states: State) -> None:
        """Wait until the service hears that the machine is that far."""
        deadline = time.monotonic() + _PATIENCE_S
        while not self._node.has_state(*states):
            assert time.monotonic() < deadline, f"the machine is still {self._node.on_service()}"
            time.sleep(_LOOK_EVERY_S)

    def _complete(self, target: str) -> None:
        """Let the update come to its end."""
        look = self._node.ready()
        if look.version != target:
            self._node.update()
            self._node.reboot()
            look = self._node.restarted(look)
        assert (look.version, look.verified) == (target, True), look
        self._node.committed(look.slot)


def markdown(seed: int, came: list[Came], lasted_s: float) -> str:
    """A summary for docs/chaos.md."""
    updates = sum(each.last for each in came)
    lines = [
        f"{len(came)} cuts in {updates} updates, seed {seed}, {lasted_s / 60:.0f} minutes. After every cut a",
        "verified system booted, and every update came to its end.",
        "",
        "| The power went during | Cuts | Old version booted | New version booted |",
        "|---|---|---|---|",
    ]
    for phase in Phase:
        those = [each for each in came if each.cut.phase is phase]
        new = sum(each.version == each.target for each in those)
        lines.append(f"| {phase.value} | {len(those)} | {len(those) - new} | {new} |")
    return "\n".join(lines)


def main() -> int:
    """Entry point."""
    parser = cli.program("chaos", (__doc__ or "").splitlines()[0], epilog=_EPILOG)
    parser.add_argument("--cuts", type=int, default=30, help="default: %(default)s")
    parser.add_argument(
        "--seed", type=int, default=1, help="the same seed, the same cuts (default: %(default)s)"
    )
    parser.add_argument("--machines", type=int, default=2, help="each with its share (default: %(default)s)")
    parser.add_argument("--releases", type=Path, nargs=2, metavar="DIR", help="two releases (default: built)")
    parser.set_defaults(handler=_chaos)
    return cli.main(parser)


def _chaos(arguments: argparse.Namespace) -> int:
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos.") as name:
        folder = Path(name)
        first, second = arguments.releases or _two_releases(folder)
        shares = _shares(schedule(arguments.cuts, arguments.seed), arguments.machines)

        def run(number: int) -> list[Came]:
            def tell(text: str) -> None:
                now_s = time.monotonic() - started_s
                print(f"{now_s:6.0f} s  machine {number + 1}: {text}", file=sys.stderr, flush=True)

            with one_machine(folder / str(number), first, user_data=LEAN) as node:
                return Chaos(node, (first, second), tell).run(shares[number])

        with ThreadPoolExecutor(len(shares)) as pool:
            came = [each for share in pool.map(run, range(len(shares))) for each in share]
    print(markdown(arguments.seed, came, time.monotonic() - started_s))
    return 0


def _two_releases(folder: Path) -> tuple[Path, Path]:
    """The newest release, and another one of the same sources, built in `folder`."""
    with terminal_progress() as progress:
        first = ensure_release(Request(), progress).folder
        version = next_version(read_release(first).version)
        return first, ensure_release(Request(version, out=folder / "second"), progress).folder


def _shares(rounds: list[Round], machines: int) -> list[list[Round]]:
    return [share for number in range(machines) if (share := rounds[number::machines])]


if __name__ == "__main__":
    sys.exit(main())
