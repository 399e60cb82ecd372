"""A machine that takes updates: what the tests do with it, and what they ask it."""

from __future__ import annotations

import contextlib
import html
import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.vm.conftest import Argosy, eventually

from argosy.formats.payload import APPLICATION_ID
from argosy.formats.updateapi import Group, State
from argosy.formats.updateapi import Machine as ServiceMachine
from argosy.formats.version import Version, parse_version
from argosy.lab import ssh
from argosy.lab.model import Machine
from argosy.lab.userdata import DEFAULT
from argosy.server.update.client import Client

# These tests say when a machine reboots.
_BY_HAND = 'update: {reboot-strategy: "off"}'
# Neither etcd nor fleet: it boots faster.
LEAN = f"#cloud-config\nhostname: core-01\ncoreos:\n  {_BY_HAND}\n"
WHOLE = DEFAULT.replace("coreos:\n", f"coreos:\n  {_BY_HAND}\n", 1)

LOOK_EVERY_S = 1.0
ASK_TIMEOUT_S = 60.0
PATIENCE_S = 420.0
# One question for all of it: a connection costs an emulated machine more than the answer.
_LOOK = """
cat /proc/sys/kernel/random/boot_id
. /usr/lib/os-release; echo $VERSION
grep -q argosy.slot=b /proc/cmdline && echo b || echo a
findmnt -no SOURCE,FSTYPE,OPTIONS /usr
sudo dmsetup status usr
"""


def next_version(version: str, step: int = 1) -> Version:
    """The version after one, as no other release has it."""
    parsed = parse_version(version)
    return replace(parsed, patch=parsed.patch + step)


@contextlib.contextmanager
def one_machine(
    state: Path, release: Path, *, firmware: str = "bios", user_data: str = WHOLE
) -> Iterator[Node]:
    """A cluster of one machine, whose files are in `state`; it is destroyed afterwards."""
    state.mkdir(parents=True, exist_ok=True)
    argosy = Argosy(state)
    (state / "user-data").write_text(user_data)
    words = ["-n", "1", "--firmware", firmware, "--release", str(release)]
    words += ["--user-data", str(state / "user-data")]
    try:
        argosy("up", *words)
        yield Node(argosy)
    finally:
        argosy("destroy")


@dataclass(frozen=True)
class Look:
    """What runs on a machine. `boot` is different after every boot; `slot` is "a" or "b"."""

    boot: str
    version: str
    slot: str
    usr: str
    verity: str

    @property
    def verified(self) -> bool:
        """/usr comes through dm-verity, which found nothing wrong ("V") in it."""
        source, kind, options = self.usr.split()
        words = (source, kind, "ro" in options.split(","), self.verity.split()[2:4])
        return words == ("/dev/mapper/usr", "erofs", True, ["verity", "V"])


@dataclass(frozen=True)
class Node:
    """One machine of a cluster."""

    argosy: Argosy
    name: str = "core-01"

    @property
    def machine(self) -> Machine:
        return self.argosy.machine(self.name)

    def try_(self, line: str, timeout_s: float = ASK_TIMEOUT_S) -> subprocess.CompletedProcess[str] | None:
        """What a line for the machine's shell came to; None if it cannot be reached, or takes too long."""
        words = ssh.command(self.argosy.site, self.machine, [line])
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.forget()
            return None
        return None if done.returncode == ssh.EXIT_NO_CONNECTION else done

    def on(self, line: str, timeout_s: float = ASK_TIMEOUT_S) -> str:
        """The output of a line that works."""
        done = self.try_(line, timeout_s)
        assert done is not None, f"{self.name} does not answer: {line}\n{self.console()[-3000:]}"
        assert done.returncode == 0, f"{line}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def forget(self) -> None:
        """Drop connections into a machine that has restarted: ssh would find out late."""
        ssh.close(self.argosy.site, self.machine)

    def console(self) -> str:
        """All that it ever printed."""
        log = self.argosy.site.console_log(self.machine)
        return log.read_text(errors="replace") if log.exists() else ""

    def look(self) -> Look | None:
        """What runs there; None while nothing answers."""
        done = self.try_(_LOOK)
        if done is None or done.returncode != 0:
            return None
        boot, version, slot, usr, verity = done.stdout.splitlines()
        return Look(boot, version, slot, usr, verity)

    def on_service(self) -> ServiceMachine | None:
        """The machine as the update service knows it; None if it has not been heard of yet."""
        [page] = self._service().machines(APPLICATION_ID, group=None, state=None)
        return page.machines[0] if page.machines else None

    def has_state(self, *states: State) -> bool:
        """Whether the service takes it to be that far."""
        machine = self.on_service()
        return machine is not None and machine.state in states

    @property
    def _address(self) -> str:
        return f"http://127.0.0.1:{self.argosy.site.cluster.server_port}"

    def _service(self) -> Client:
        return Client(self._address)

    def slots(self) -> Any:
        """`argosy slots --json` on the machine."""
        return json.loads(self.on("sudo argosy slots --json"))

    def slot(self, name: str) -> Any:
        """What the machine says of one slot."""
        return next(slot for slot in self.slots()["slots"] if slot["slot"] == name)

    def publish(self, release: Path, channel: str = "stable") -> None:
        """Give a release, or a payload, to the machine's channel."""
        self.argosy("publish", str(release), "--channel", channel)

    def update(self) -> None:
        """Take the update that the service has, in the foreground, as a person would."""
        self.on("update_engine_client -update", timeout_s=PATIENCE_S)

    def take(self, release: Path) -> Look:
        """A whole update to a release, as far as its commit."""
        before = self.ready()
        self.publish(release)
        self.update()
        self.reboot()
        after = self.restarted(before)
        self.committed(after.slot)
        return after

    def reboot(self) -> None:
        """Ask for a reboot; do not wait for it."""
        self.try_("sudo systemctl reboot")
        self.forget()

    def wait(self, what: Callable[[Look], bool], timeout_s: float = PATIENCE_S) -> Look:
        """Wait until what runs there is so."""
        deadline = time.monotonic() + timeout_s
        while True:
            look = self.look()
            if look is not None and what(look):
                return look
            assert time.monotonic() < deadline, f"{self.name} is {look}\n{self.console()[-4000:]}"
            time.sleep(LOOK_EVERY_S)

    def ready(self) -> Look:
        """The machine once it answers."""
        return self.wait(lambda look: True)

    def committed(self, slot: str) -> None:
        """Wait until the slot is marked as good."""
        eventually(lambda: self.slot(slot)["state"] == "good")

    def restarted(self, before: Look) -> Look:
        """The machine after its next restart, however it comes about."""
        return self.wait(lambda look: look.boot != before.boot)

    def fell_back(self, before: Look, version: Version, reason: str) -> None:
        """Wait until the machine is back: it knows why, and the service, which stopped the version, too."""
        self.wait(lambda look: look.boot != before.boot and look.slot == before.slot)
        eventually(lambda: str(version) in [failure["version"] for failure in self.slots()["failures"]])
        failure = self.slots()["failures"][-1]
        assert (failure["version"], bool(re.search(reason, failure["reason"]))) == (str(version), True), (
            failure
        )
        eventually(lambda: self.has_state(State.FELL_BACK))
        machine = self.on_service()
        assert machine and re.search(reason, machine.reason) and str(version) in machine.bad, machine
        [stop] = [stop for stop in self.group().stopped if stop.version == str(version)]
        assert stop.machine == machine.id and re.search(reason, stop.reason), stop
        page = self.page()
        assert str(version) in page and re.search(reason, html.unescape(page))

    def group(self) -> Group:
        """The machine's group at the update service."""
        return next(group for group in self._service().groups(APPLICATION_ID) if group.name == "stable")

    def page(self) -> str:
        """The update service's page, as a browser on this host gets it."""
        with urllib.request.urlopen(f"{self._address}/updates", timeout=ASK_TIMEOUT_S) as answer:
            return str(answer.read().decode())
