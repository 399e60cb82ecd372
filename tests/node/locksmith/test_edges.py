"""Settings, units due here, terminals, and the signal on a real bus."""

from __future__ import annotations

import asyncio
import os
import pty
from pathlib import Path

import pytest
from tests.node.update.daemon import bus as private_bus

from argosy.base.errors import InputError
from argosy.formats.cordon import Leaving, Step
from argosy.formats.fleet import UnitEntity, UnitStateEntity
from argosy.formats.unit import Option
from argosy.node.locksmith import ctl, users
from argosy.node.locksmith.bus import Host, send_need_reboot
from argosy.node.locksmith.cluster import own_member
from argosy.node.locksmith.config import read_settings
from argosy.node.locksmith.fleet import SILENCE_S, FleetApi, FleetDrainer, drained, idle
from argosy.node.locksmith.model import Access, Drained, Settings, Strategy

# Settings


def settings(folder: Path, text: str, **environment: str) -> Settings:
    path = folder / "update.conf"
    path.write_text(text)
    return read_settings(environment, [path, folder / "missing.conf"])


def test_defaults_are_the_originals(tmp_path: Path) -> None:
    assert settings(tmp_path, "") == Settings()
    assert Settings().strategy is Strategy.BEST_EFFORT
    assert Settings().access.endpoints == ("http://127.0.0.1:2379",)
    assert Settings().stale_after_s is None


def test_windows_have_the_originals_two_names(tmp_path: Path) -> None:
    text = "REBOOT_WINDOW_START=Mon 01:00\nREBOOT_WINDOW_LENGTH=1h30m\n"
    assert [str(window) for window in settings(tmp_path, text).windows] == ["Mon 01:00 for 1:30:00"]
    text += "LOCKSMITHD_REBOOT_WINDOW_START=Thu 23:00\n"
    assert [str(window) for window in settings(tmp_path, text).windows] == ["Thu 23:00 for 1:30:00"]
    with pytest.raises(InputError, match="belong together"):
        settings(tmp_path, "LOCKSMITHD_REBOOT_WINDOW_START=04:00\n")


def test_all_settings(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        'REBOOT_STRATEGY=etcd-lock\nREBOOT_WINDOW_START="Thu 04:00"\nREBOOT_WINDOW_LENGTH=1h30m\n'
        "REBOOT_DELAY=10m\nREBOOT_WARNING=0s\nREBOOT_DRAIN_TIMEOUT=1m\nSTALE_LOCK_AFTER=2h\n",
        LOCKSMITHD_GROUP="storage",
        LOCKSMITHD_ENDPOINT="https://a:2379, https://b:2379",
        LOCKSMITHD_ETCD_CAFILE="/ca.pem",
        LOCKSMITHD_ETCD_USERNAME="root",
        LOCKSMITHD_ETCD_PASSWORD="secret",
    )
    assert found.strategy is Strategy.ETCD_LOCK
    assert [str(window) for window in found.windows] == ["Thu 04:00 for 1:30:00"]
    assert (found.delay_s, found.warning_s, found.drain_s, found.stale_after_s) == (600, 0, 60, 7200)
    assert found.access.endpoints == ("https://a:2379", "https://b:2379")
    assert found.access.group == "storage"
    assert found.access.tls.authority == Path("/ca.pem")
    assert found.access.login is not None
    assert found.access.login.user == "root"
    assert "secret" not in repr(found)


def test_a_file_goes_before_the_environment(tmp_path: Path) -> None:
    assert settings(tmp_path, "REBOOT_STRATEGY=reboot\n", REBOOT_STRATEGY="off").strategy is Strategy.REBOOT
    assert settings(tmp_path, "", REBOOT_STRATEGY="off").strategy is Strategy.OFF


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("REBOOT_STRATEGY=never", "none of best-effort"),
        ("REBOOT_WINDOW_START=04:00", "both or neither"),
        ("\nREBOOT_DELAY=soon", "update.conf:2: REBOOT_DELAY: `soon` is not a duration"),
        ("LOCKSMITHD_ENDPOINT=ftp://a", "is not an address"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        settings(tmp_path, text)
    assert words in str(caught.value)


# fleet


def unit(name: str, machine: str, desired: str = "launched", kind: str = "simple") -> UnitEntity:
    return UnitEntity(name, [Option("Service", "Type", kind)], desired, "", machine)


def states(**active: str) -> dict[str, UnitStateEntity]:
    return {
        f"{name}.service": UnitStateEntity(
            name=f"{name}.service", hash="", machine_id="me", active_state=word
        )
        for name, word in active.items()
    }


@pytest.mark.parametrize(
    ("due", "found", "expected"),
    [
        (unit("a.service", "me"), states(a="active"), ()),
        (unit("a.service", "me"), states(a="failed"), ("a.service (failed)",)),
        (unit("a.service", "me"), states(a="inactive"), ("a.service (inactive)",)),
        (unit("a.service", "me"), {}, ("a.service (unknown)",)),
        (unit("a.service", "me", kind="oneshot"), states(a="inactive"), ()),
        (unit("a.service", "me", kind="oneshot"), states(a="failed"), ("a.service (failed)",)),
        (unit("a.service", "me", desired="loaded"), states(a="inactive"), ()),
        (unit("a.service", "other"), {}, ()),
        (unit("a.service", ""), states(a="activating"), ("a.service (activating)",)),  # a global unit
        (unit("a.service", ""), {}, ()),
    ],
)
def test_units_due_here_that_do_not_run(
    due: UnitEntity, found: dict[str, UnitStateEntity], expected: tuple[str, ...]
) -> None:
    assert idle([due], found, "me") == expected


def test_without_fleet_there_is_nothing_to_drain(tmp_path: Path) -> None:
    runs = False
    now_s = 1000.0

    async def fleet_runs() -> bool:
        return runs

    drainer = FleetDrainer(FleetApi("me", tmp_path / "fleet.sock"), "b1", fleet_runs, lambda: now_s)

    def drain(*, last: bool = False) -> Drained:
        return asyncio.run(drainer.drain(last=last))

    assert drain().done
    # One that runs and does not answer is waited for, but not for ever.
    runs = True
    assert drain(last=True).done
    assert not drain().done
    assert "fleet cannot move this machine's units: " in drain().reason
    now_s += SILENCE_S
    assert drain().done


STAYS = Leaving("a.service", Step.STAYS, "no other machine can run it")
MOVES = Leaving("b.service", Step.MOVES, "on m2 it is activating (start)", "m2")
STOPS = Leaving("c.service", Step.STOPS, "it runs on m2 now, and stops here", "m2")


@pytest.mark.parametrize(
    ("left", "last", "done", "words"),
    [
        ([], False, True, "no fleet unit runs here that could move"),
        ([STAYS], False, True, "stop with this machine: a.service (no other machine can run it)"),
        ([MOVES], False, False, "waiting until they have moved: b.service (on m2 it is activating (start))"),
        ([STOPS, STAYS], False, False, "moved: c.service (it runs on m2 now, and stops here); they cannot"),
        ([MOVES], True, True, "the time to move them is over (REBOOT_DRAIN_TIMEOUT): b.service"),
    ],
)
def test_how_far_a_drain_is(left: list[Leaving], last: bool, done: bool, words: str) -> None:
    report = drained(left, last=last)
    assert report.done == done
    assert words in report.reason


class Slow:
    """A fleet that says one thing after another."""

    def __init__(self, *reports: Drained) -> None:
        self.reports = list(reports)
        self.asked: list[bool] = []

    async def drain(self, *, last: bool) -> Drained:
        self.asked.append(last)
        return self.reports.pop(0)

    async def undo(self) -> None:
        self.asked.append(False)


def test_a_persons_reboot_waits_for_the_drain_and_tells_each_step_once() -> None:
    told: list[str] = []
    fleet = Slow(Drained(False, "a moves"), Drained(False, "a moves"), Drained(True, "a has moved"))
    ctl.drain(fleet, 60.0, told.append)
    assert told == ["a moves", "a has moved"]
    assert fleet.asked == [False, False, False]
    hopeless = Slow(Drained(True, "a stops with the machine"))
    ctl.drain(hopeless, 0.0, told.append)
    assert hopeless.asked == [True]


# etcd


def test_a_member_elsewhere_is_not_our_own() -> None:
    assert asyncio.run(own_member(Access(("http://192.0.2.1:2379",)))) == ""
    assert asyncio.run(own_member(Access(("http://127.0.0.1:9",)))) == ""


# Terminals


@pytest.mark.root
def test_users_at_terminals_are_told(tmp_path: Path) -> None:
    """A real terminal, under the name that /dev/pts would give it."""
    ours, theirs = pty.openpty()
    try:
        name = tmp_path / "0"
        name.symlink_to(os.ttyname(theirs))
        os.chown(os.ttyname(theirs), 1, -1)
        assert users.at_terminals(tmp_path) == {name: "daemon"}
        users.tell("hello", tmp_path)
        assert b"hello" in os.read(ours, 100)
        os.chown(os.ttyname(theirs), 0, -1)
        assert users.at_terminals(tmp_path) == {}
    finally:
        os.close(ours)
        os.close(theirs)


# The bus


def test_a_signal_of_roots_counts_as_a_persons_wish(tmp_path: Path) -> None:
    heard: list[str] = []

    async def go(address: str) -> None:
        host = Host(lambda: heard.append("wake"), lambda: heard.append("asked"), address)
        await host.connect()
        assert await host.wanted() == ""  # no engine runs, and none is started for the question
        await send_need_reboot(address)
        await asyncio.sleep(0.5)
        await host.close()

    with private_bus(tmp_path) as address:
        asyncio.run(go(address))
    assert heard == (["asked", "wake"] if os.getuid() == 0 else [])
