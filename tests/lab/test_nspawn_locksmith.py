"""Whole machines that reboot in turn while all goes wrong: real systemd, real etcd, one cluster for all.

`tests/node/locksmith/test_faults.py` has each fault alone, a kill at each step, and machines that are gone.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.lab.containers import MACHINES, Containers

from argosy.lab.userdata import DEFAULT

pytestmark = [pytest.mark.root, pytest.mark.timeout(900), pytest.mark.xdist_group("locks")]

_WITHIN_S = 400.0
_LOCKS = "coreos.com/updateengine/rebootlock/"
# As the lab's own, but a locksmithd that was killed is there again soon.
_USER_DATA = (
    DEFAULT.replace("coreos:\n", "coreos:\n  update:\n    reboot-strategy: etcd-lock\n", 1)
    + """\
    - name: fleetlock.socket
      command: start
    - name: locksmithd.service
      drop-ins:
        - name: 10-soon.conf
          content: |
            [Unit]
            StartLimitIntervalSec=0
            [Service]
            RestartSec=1
"""
)


class Site(Containers):
    """What these tests ask."""

    def why(self, machine: str) -> str:
        return self.ssh(machine, "locksmithctl why")

    def hosts_that_hold(self, group: str = "") -> list[str] | None:
        """The names of the holders, as whichever machine answers first says it; None if none does."""
        for name in MACHINES:
            if answer := self.ssh(name, f"locksmithctl -group '{group}' status --json"):
                return [holder["host"] or holder["id"] for holder in json.loads(answer)["holders"]]
        return None

    def wait(self, holds: Callable[[], bool], within_s: float = _WITHIN_S) -> None:
        """Wait until something holds; else all machines say why not."""
        deadline = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline, [self.why(name) for name in MACHINES]
            time.sleep(1)

    def lock_history(self) -> list[set[str]]:
        """The holders of all groups after each change of a semaphore, since the cluster was made."""
        command = f"timeout 5 etcdctl watch --prefix {_LOCKS} --rev=1 -w json; true"
        answers = [json.loads(line) for line in self.ssh("core-01", command).splitlines()]
        events = [event["kv"] for answer in answers for event in answer["Events"]]
        now: dict[str, set[str]] = {}
        history = []
        for event in sorted(events, key=lambda event: int(event["mod_revision"])):
            semaphore = json.loads(base64.b64decode(event["value"]))
            now[event["key"]] = set(semaphore["holders"] or ())
            history.append({holder for holders in now.values() for holder in holders})
        return history


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, release: Path) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("locks")
    site = Site("locks", folder / "state")
    user_data = folder / "user-data"
    user_data.write_text(_USER_DATA)
    words = ("--driver", "nspawn", "-n", "3", "--release", release, "--user-data", user_data)
    try:
        up = site.argosy("up", *words)
        assert up.returncode == 0, up.stderr.decode()
        yield site
    finally:
        site.argosy("destroy")


# All of them, in two groups, with a fault for each


def lose_the_quorum(site: Site, holder: str) -> None:
    """Only one member is left: nobody goes on, and nobody is stuck when the others are back."""
    others = [name for name in MACHINES if name != holder]
    before = {name: site.boot(name) for name in others}
    for name in others:
        site.ssh(name, "sudo systemctl stop etcd-member")
    site.wait(lambda: all("no reboot without the lock" in site.why(name) for name in others), within_s=60)
    assert {name: site.boot(name) for name in others} == before
    for name in others:
        site.ssh(name, "sudo systemctl start --no-block etcd-member")


def cut_the_power(site: Site, holder: str) -> None:
    """In whichever state the machine is: about to go down, down, or on its way back."""
    assert site.argosy("kill", holder).returncode == 0
    time.sleep(3)
    assert site.hosts_that_hold("left") == [holder] or site.hosts_that_hold() == [holder]
    assert site.argosy("start", holder).returncode == 0


def kill_the_leader(site: Site, holder: str) -> None:
    """Of etcd."""
    for name in MACHINES:
        status = site.ssh(name, "etcdctl endpoint status -w json")
        if status and (found := json.loads(status)[0]["Status"])["leader"] == found["header"]["member_id"]:
            site.ssh(name, "sudo systemctl kill --signal=KILL etcd-member")
            return
    raise AssertionError("nobody leads")


def test_all_reboot_one_after_another_whatever_is_killed(site: Site) -> None:
    """In two groups at once, of which neither may have its way when the other has."""
    before = site.boots()
    for name in ("core-01", "core-03"):
        site.ssh(name, "echo LOCKSMITHD_GROUP=left | sudo tee -a /etc/coreos/update.conf")
    for name in MACHINES:
        site.ssh(name, "sudo locksmithctl send-need-reboot")
    faults = [lose_the_quorum, cut_the_power, kill_the_leader]
    struck: list[str] = []

    def over() -> bool:
        held = [site.hosts_that_hold(group) for group in ("", "left")]
        if None in held:
            return False
        holders = [holder for each in held if each for holder in each]
        for holder in holders:
            if faults and holder not in struck:
                struck.append(holder)
                faults.pop(0)(site, holder)
        for name in MACHINES:
            site.ssh(name, "sudo systemctl kill --signal=KILL locksmithd")
        boots = site.boots()
        return not holders and all(boots[name] not in ("", before[name]) for name in MACHINES)

    site.wait(over)
    assert not faults
    history = site.lock_history()
    assert max(len(holders) for holders in history) == 1
    assert len(set().union(*history)) == len(MACHINES), "each of them took the lock"


# A machine that never returns


def test_a_machine_that_does_not_come_back_stops_the_others_and_is_named(site: Site) -> None:
    before = site.boots()
    site.ssh("core-01", "sudo locksmithctl send-need-reboot")
    site.wait(lambda: site.hosts_that_hold("left") == ["core-01"])
    site.wait(lambda: site.boot("core-01") != before["core-01"])
    site.argosy("kill", "core-01")
    site.ssh("core-03", "sudo locksmithctl send-need-reboot")
    site.wait(lambda: "core-01" in site.why("core-03"), within_s=60)
    site.wait(lambda: "its etcd member does not answer" in site.why("core-03"), within_s=60)
    listed = site.ssh("core-02", "locksmithctl -group left status")
    assert "stale: its etcd member does not answer, held for" in listed
    # A client of another system is told the same.
    asked = site.ssh("core-02", fleetlock("pre-reboot", "fcos-1", "left"))
    assert "the lock is held by core-01" in asked
    # Without its lock it is still missing: etcd could not spare one more of three.
    holder = listed.split("MACHINE ID\n")[1].split()[0]
    site.ssh("core-02", f"locksmithctl -group left unlock {holder}")
    site.wait(lambda: "this machine cannot be spared" in site.why("core-03"), within_s=60)
    assert site.boot("core-03") == before["core-03"]
    site.argosy("start", "core-01")
    site.wait(lambda: site.boot("core-03") not in ("", before["core-03"]))
    site.wait(lambda: site.hosts_that_hold("left") == [])
    assert site.boot("core-02") == before["core-02"]


def fleetlock(what: str, client: str, group: str = "default") -> str:
    """How a client asks the machine on which it runs this."""
    body = json.dumps({"client_params": {"id": client, "group": group}})
    address = f"http://localhost:3333/v1/{what}"
    return f"curl -sS -H 'fleet-lock-protocol: true' -d '{body}' {address}"


# A clock that jumps across a window's edge


def test_a_clock_that_leaves_the_window_takes_the_lock_with_it(site: Site) -> None:
    """A container's clock is the host's: what jumps is its time zone, and with it the local time."""
    name = "core-02"
    before = site.boot(name)
    opens = datetime.now(UTC) - timedelta(hours=1)
    window = f"REBOOT_WINDOW_START={opens:%H:%M}\\nREBOOT_WINDOW_LENGTH=2h\\n"
    site.ssh(name, f"printf '{window}' | sudo tee -a /etc/coreos/update.conf")
    # Who is at a terminal is warned five minutes ahead.
    user = site.ssh(
        name,
        "nohup python3 -c 'import os, time; kept = os.openpty(); time.sleep(600)' >/dev/null 2>&1 & echo $!",
    )
    site.ssh(name, "sudo locksmithctl send-need-reboot")
    site.wait(lambda: "users were warned (core)" in site.why(name), within_s=60)
    assert site.hosts_that_hold() == [name]
    set_zone(site, name, "Etc/GMT-6")
    site.wait(lambda: "the next reboot window opens on" in site.why(name), within_s=60)
    site.wait(lambda: site.hosts_that_hold() == [], within_s=30)
    # Nobody is in the way now but the clock.
    site.ssh(name, f"kill {user}")
    site.ssh(name, "sudo locksmithctl send-need-reboot")
    time.sleep(3)
    assert site.boot(name) == before
    set_zone(site, name, "Etc/UTC")
    site.wait(lambda: site.boot(name) not in ("", before))
    site.wait(lambda: site.hosts_that_hold() == [])


def set_zone(site: Site, machine: str, zone: str) -> None:
    """Change the machine's time zone, and have locksmithd look."""
    site.ssh(machine, f"sudo ln -sf /usr/share/zoneinfo/{zone} /etc/localtime")
    site.ssh(machine, "sudo locksmithctl send-need-reboot")
