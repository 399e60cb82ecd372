"""The service over a real database of each kind: what machines and operators do, also over restarts."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError
from tests.server.update.house import (
    APPLIED,
    FAILED,
    RUNNING,
    House,
    Machine,
    pieces,
    publish,
    upload,
)
from tests.server.update.small import small_payload

from argosy.base.errors import InputError
from argosy.formats import updateapi as api
from argosy.formats.omaha import model as omaha
from argosy.formats.omaha.codes import ErrorCode, EventResult, EventType
from argosy.formats.payload import APPLICATION_ID, PayloadError
from argosy.formats.updateapi import ChannelChange, GroupChange, State
from argosy.server.database import open_database, sqlite_url
from argosy.server.update.model import ConflictError, FullError, Limits, NotFoundError
from argosy.server.update.service import UpdateService
from argosy.server.update.tables import SCHEMA


def test_an_update_from_publishing_to_the_machine_that_runs_it(house: House) -> None:
    async def story(service: UpdateService) -> None:
        package = await publish(service, house.payload("2.0.0"))
        machine = Machine(service, "core-01", "1.0.0")
        answer = await machine.ask()
        assert answer.urls == (f"http://updates.test/packages/{package.sha256}/",)
        assert answer.manifest is not None
        assert answer.manifest.packages[0].size_bytes == package.size_bytes
        assert (await machine.seen()).state is State.OFFERED
        for event, state in (
            ((EventType.DOWNLOAD_STARTED, EventResult.SUCCESS), State.DOWNLOADING),
            ((EventType.DOWNLOAD_FINISHED, EventResult.SUCCESS), State.DOWNLOADED),
            (APPLIED, State.INSTALLED),
        ):
            await machine.tell(event)
            seen = await machine.seen()
            assert (seen.state, seen.offered) == (state, "2.0.0")
        machine.version = "2.0.0"
        await machine.tell(RUNNING, previous_version="1.0.0")
        seen = await machine.seen()
        assert (seen.state, seen.reason, seen.offered) == (State.CURRENT, "runs 2.0.0, up from 1.0.0", None)
        assert await machine.offered() is None
        texts = [event.text for event in await service.events(machine="core-01")]
        assert texts == [
            "runs 2.0.0, up from 1.0.0",
            "has installed 2.0.0 and waits for a reboot",
            "has downloaded 2.0.0",
            "downloads 2.0.0",
            "2.0.0 was offered: stable has it",
        ]

    house.run(story)


def test_a_version_that_failed_on_one_machine_is_stopped_for_its_group(house: House) -> None:
    async def fall_back(service: UpdateService) -> None:
        await publish(service, house.payload("2.0.0"))
        await service.promote("stable", "beta")
        await service.change_group("stable", GroupChange(waves=()))
        machine = Machine(service, "core-01", "1.0.0")
        assert await machine.offered() == "2.0.0"
        await machine.tell(APPLIED)
        await machine.tell(
            FAILED, error_code=ErrorCode.HEALTH_FAILED, next_version="2.0.0", reason="etcd is not healthy"
        )

    async def later(service: UpdateService) -> None:
        machine, other = Machine(service, "core-01", "1.0.0"), Machine(service, "core-02", "1.0.0")
        assert (await other.ask()).reason == (
            "2.0.0 was stopped for the group stable: on core-01, etcd is not healthy"
        )
        assert (await machine.ask()).reason == "2.0.0 failed on this machine: etcd is not healthy"
        seen = await machine.seen()
        assert (seen.state, seen.bad) == (State.FELL_BACK, ("2.0.0",))
        (stop,) = (await service.group("stable")).stopped
        assert (stop.version, stop.machine, stop.reason) == ("2.0.0", "core-01", "etcd is not healthy")
        assert (await service.overview()).machines[0].id == "core-01"
        assert await Machine(service, "beta-01", "1.0.0", "beta").offered() == "2.0.0"
        await service.change_group("stable", GroupChange(retry="2.0.0"))
        assert (await service.group("stable")).stopped == ()
        assert await other.offered() == "2.0.0"

    async def at_last(service: UpdateService) -> None:
        assert (await service.group("stable")).stopped == ()
        assert await Machine(service, "core-03", "1.0.0").offered() == "2.0.0"
        assert (await Machine(service, "core-01", "1.0.0").ask()).reason.startswith(
            "2.0.0 failed on this machine"
        )

    house.run(fall_back)
    house.run(later)
    house.run(at_last)


def test_other_failures_stop_nobody(house: House) -> None:
    async def story(service: UpdateService) -> None:
        await publish(service, house.payload("2.0.0"))
        await service.change_group("stable", GroupChange(waves=()))
        machine = Machine(service, "core-01", "1.0.0")
        assert await machine.offered() == "2.0.0"
        await machine.tell(FAILED, error_code=2404)
        seen = await machine.seen()
        assert (seen.state, seen.reason) == (State.FAILED, "the server answered with HTTP 404 (2404)")
        assert (await service.group("stable")).stopped == ()
        assert await Machine(service, "core-02", "1.0.0").offered() == "2.0.0"
        assert await machine.offered() == "2.0.0"

    house.run(story)


def test_a_stock_machine_that_wakes_up_in_the_old_version_fell_back(house: House) -> None:
    async def story(service: UpdateService) -> None:
        data = b"CrAU" + b"\0" * 2000
        app = "{flatcar}"
        package = await service.upload_stock(pieces(data), app=app, version="3850.1.0", arch="x86_64")
        await service.publish("stable", package.sha256, app)
        machine = Machine(service, "m1", "3815.2.0", platform="CoreOS", app_id=app)
        answer = await machine.ask()
        assert answer.manifest is not None
        assert answer.manifest.packages[0].name == "update.gz"
        assert answer.manifest.actions[0].disable_payload_backoff
        await machine.tell(APPLIED)
        assert (await machine.say()).ping  # It waits for its reboot: nothing has happened.
        assert (await service.group("stable", app)).stopped == ()
        machine.boot_id = "boot-2"
        await machine.ask()
        (stop,) = (await service.group("stable", app)).stopped
        assert stop.reason == "after the reboot into 3850.1.0 it came up with 3815.2.0"
        assert (await machine.seen()).state is State.FELL_BACK

    house.run(story)


def test_safe_mode_over_a_restart(house: House) -> None:
    async def first(service: UpdateService) -> None:
        await publish(service, house.payload("2.0.0"))
        await service.change_group("stable", GroupChange(safe_mode=True, update_timeout_s=600))
        assert await Machine(service, "core-01", "1.0.0").offered() == "2.0.0"
        assert (await Machine(service, "core-02", "1.0.0").ask()).reason == "core-01 tries 2.0.0 first"

    async def second(service: UpdateService) -> None:
        one, two = Machine(service, "core-01", "1.0.0"), Machine(service, "core-02", "1.0.0")
        assert (await two.ask()).reason == "core-01 tries 2.0.0 first"
        house.clock.now_s += 601
        assert "has not been heard of" in (await two.ask()).reason
        await one.say()
        assert (await two.ask()).reason == "core-01 tries 2.0.0 first"
        one.version = "2.0.0"
        await one.tell(RUNNING, previous_version="1.0.0")

    async def third(service: UpdateService) -> None:
        assert await Machine(service, "core-02", "1.0.0").offered() == "2.0.0"
        assert await Machine(service, "core-03", "1.0.0").offered() == "2.0.0"

    for story in (first, second, third):
        house.run(story)


def test_a_first_machine_that_vanished_is_forgotten_by_a_retry(house: House) -> None:
    async def story(service: UpdateService) -> None:
        await publish(service, house.payload("2.0.0"))
        await service.change_group("stable", GroupChange(safe_mode=True, update_timeout_s=60))
        assert await Machine(service, "core-01", "1.0.0").offered() == "2.0.0"
        house.clock.now_s += 61
        two = Machine(service, "core-02", "1.0.0")
        assert await two.offered() is None
        await service.change_group("stable", GroupChange(retry="2.0.0"))
        assert await two.offered() == "2.0.0"

    house.run(story)


def test_the_rate_counts_over_a_restart(house: House) -> None:
    async def first(service: UpdateService) -> None:
        await publish(service, house.payload("2.0.0"))
        await service.change_group("stable", GroupChange(rate_updates=2, rate_period_s=600, waves=()))
        for number in (1, 2):
            assert await Machine(service, f"core-{number}", "1.0.0").offered() == "2.0.0"
        assert await Machine(service, "core-3", "1.0.0").offered() is None

    async def second(service: UpdateService) -> None:
        three = Machine(service, "core-3", "1.0.0")
        assert "which is its rate" in (await three.ask()).reason
        assert await Machine(service, "core-1", "1.0.0").offered() == "2.0.0"  # It has begun already.
        house.clock.now_s += 601
        assert await three.offered() == "2.0.0"

    house.run(first)
    house.run(second)


def test_channels_go_forward_by_publishing_and_back_by_rolling_back(house: House) -> None:
    async def story(service: UpdateService) -> None:
        for version in ("1.0.0", "2.0.0", "3.0.0"):
            await publish(service, house.payload(version))
        packages = {package.version: package.sha256 for package in service.packages()}
        assert list(packages) == ["3.0.0", "2.0.0", "1.0.0"]
        with pytest.raises(ConflictError, match=re.escape("not older than 2.0.0")):
            await service.publish("stable", packages["2.0.0"])
        machine = Machine(service, "core-01", "3.0.0")
        assert await machine.offered() is None
        back = await service.rollback("stable")
        assert back.package is not None
        assert back.package.version == "2.0.0"
        assert [turn.action for turn in back.history] == ["rollback", *["publish"] * 3]
        assert await machine.offered() == "2.0.0"
        with pytest.raises(ConflictError, match=re.escape("never had 1.5.0")):
            await service.rollback("stable", "1.5.0")
        await service.rollback("stable", "1.0.0")
        with pytest.raises(ConflictError, match="nothing older"):
            await service.rollback("stable")
        await service.publish("stable", packages["3.0.0"])
        assert await machine.offered() is None

    async def later(service: UpdateService) -> None:
        assert await Machine(service, "core-01", "2.0.0").offered() == "3.0.0"
        await service.rollback("stable")
        assert await Machine(service, "core-02", "3.0.0").offered() == "1.0.0"  # It had that before.

    house.run(story)
    house.run(later)


def test_floors_and_milestones(house: House) -> None:
    async def story(service: UpdateService) -> None:
        await service.change_group("stable", GroupChange(waves=()))
        for version in ("1.0.0", "2.0.0", "3.0.0"):
            await publish(service, house.payload(version))
        changed = await service.change_channel("stable", ChannelChange(floor="2.0.0", milestones=("2.0.0",)))
        assert (changed.floor, changed.milestones) == ("2.0.0", ("2.0.0",))
        answer = await Machine(service, "core-01", "1.0.0").ask()
        assert answer.manifest is not None
        assert (answer.manifest.version, answer.manifest.floor) == ("2.0.0", "2.0.0")
        for change, message in (
            (ChannelChange(floor="1.0.0"), "cannot be lowered"),
            (ChannelChange(floor="9.0.0"), "above what stable has"),
        ):
            with pytest.raises(ConflictError, match=message):
                await service.change_channel("stable", change)
        with pytest.raises(InputError, match="not a version"):
            await service.change_channel("stable", ChannelChange(floor="new"))
        with pytest.raises(NotFoundError, match=re.escape("no package of version 7.0.0")):
            await service.change_channel("stable", ChannelChange(milestones=("7.0.0",)))
        with pytest.raises(ConflictError, match="below the floor"):
            await service.rollback("stable", "1.0.0")

    async def later(service: UpdateService) -> None:
        assert service.channel("stable").milestones == ("2.0.0",)
        assert await Machine(service, "core-02", "1.0.0").offered() == "2.0.0"

    house.run(story)
    house.run(later)


def test_groups_of_ones_own(house: House) -> None:
    async def story(service: UpdateService) -> None:
        with pytest.raises(InputError, match=r"no group .lab."):
            await service.change_group("lab", GroupChange())
        with pytest.raises(NotFoundError, match="no channel 'nightly'"):
            await service.change_group("lab", GroupChange(channel="nightly"))
        await service.change_channel("nightly", ChannelChange())
        await service.change_group("lab", GroupChange(channel="nightly", timezone="Europe/Berlin"))
        await publish(service, house.payload("2.0.0"), "nightly")
        machine = Machine(service, "lab-01", "1.0.0", "lab")
        await service.change_group("lab", GroupChange(updates_enabled=False))
        assert (await machine.ask()).reason == "updates are paused for the group lab"
        for change in (
            GroupChange(timezone="Mars/Olympus"),
            GroupChange(rate_updates=-1),
            GroupChange(rate_period_s=0),
            GroupChange(update_timeout_s=0),
            GroupChange(windows=(api.Window(("mon",), "9", "10:00"),)),
            GroupChange(windows=(api.Window((), "09:00", "10:00"),)),
        ):
            with pytest.raises(InputError):
                await service.change_group("lab", change)

    async def later(service: UpdateService) -> None:
        group = await service.group("lab")
        assert (group.channel, group.policy.timezone, group.counts) == (
            "nightly",
            "Europe/Berlin",
            {"waiting": 1},
        )
        await service.change_group("lab", GroupChange(updates_enabled=True))
        assert await Machine(service, "lab-01", "1.0.0", "lab").offered() == "2.0.0"
        texts = [event.text for event in await service.events() if event.machine is None]
        assert texts[0] == "the group lab updates again"

    house.run(story)
    house.run(later)


def test_who_is_not_known_is_told_so(house: House) -> None:
    async def story(service: UpdateService) -> None:
        stranger = Machine(service, "m", "1.0.0", app_id="{unknown}")
        assert (await stranger.say(check=True)).status == omaha.UNKNOWN_APPLICATION
        lost = Machine(service, "m", "1.0.0", "no-such-group")
        assert (await lost.ask()).reason == "there is no group 'no-such-group' here"
        assert (await lost.seen()).state is State.WAITING
        nobody = Machine(service, "", "1.0.0")
        assert "which machine asks" in (await nobody.ask()).reason
        assert await service.machines_total() == 1
        with pytest.raises(InputError, match="more than 64 characters"):
            await Machine(service, "m" * 65, "1.0.0").ask()

    house.run(story)


def test_payloads_are_checked_before_they_are_kept(house: House) -> None:
    async def story(service: UpdateService) -> None:
        good = house.payload("2.0.0")
        data = good.read_bytes()
        for wrong, code in (
            (data[:-1], "truncated"),
            (data + b"x", "too-long"),
            (data[:-1] + bytes([data[-1] ^ 1]), "data-hash"),
            (b"MZ" + data, "not-a-payload"),
        ):
            with pytest.raises(PayloadError) as caught:
                await service.upload(pieces(wrong))
            assert caught.value.code.value == code
        stranger = small_payload(house.folder / "stranger", "2.0.0", house.folder / "other-keys")
        with pytest.raises(PayloadError) as caught:
            await upload(service, stranger)
        assert caught.value.code.value == "untrusted-key"
        with pytest.raises(InputError, match="ended after"):
            await service.upload(pieces(data[:100]), length=len(data))
        with pytest.raises(InputError, match="not a payload of CoreOS"):
            await service.upload_stock(pieces(data), app=APPLICATION_ID, version="1.0.0")
        assert service.packages() == ()
        assert sorted(path.name for path in (house.folder / "packages").rglob("*")) == ["incoming"]
        package = await upload(service, good)
        assert await upload(service, good) == package
        with pytest.raises(ConflictError, match=re.escape("another payload of version 2.0.0")):
            await upload(service, house.payload("2.0.0", floor="1.0.0"))
        found = service.package_file(package.sha256)
        assert found is not None
        assert found[1].read_bytes() == data

    house.run(story)


def test_a_payload_larger_than_the_limit_is_refused(house: House) -> None:
    house.limits = Limits(payload_bytes=1000)

    async def story(service: UpdateService) -> None:
        data = house.payload("2.0.0").read_bytes()
        for length in (len(data), None):
            with pytest.raises(InputError, match="more than 1000"):
                await service.upload(pieces(data), length=length)

    house.run(story)


def test_a_machine_says_what_it_is_called_until_somebody_calls_it_otherwise(house: House) -> None:
    async def story(service: UpdateService) -> None:
        await Machine(service, "1f", "1.0.0", name="core\n-01" + "x" * 100).ask()
        assert (await service.machine("1f")).alias == "core-01" + "x" * 56
        await Machine(service, "1f", "1.0.0", name="core-02").ask()
        assert (await service.machine("core-02")).id == "1f"
        await service.name_machine("1f", "rack 7")
        await Machine(service, "1f", "1.0.0", name="core-03").ask()
        assert (await service.machine("rack 7")).alias == "rack 7"
        with pytest.raises(NotFoundError):
            await service.machine("core-03")
        assert (await service.name_machine("1f", "")).alias == "core-03"

    house.run(story)


def test_machines_are_listed_found_and_named(house: House) -> None:
    async def story(service: UpdateService) -> None:
        for number in range(5):
            await Machine(service, f"machine-{number}", "1.0.0", "beta" if number % 2 else "stable").ask()
        first = await service.machines(limit=3)
        rest = await service.machines(after=first[-1].id)
        assert [machine.id for machine in (*first, *rest)] == [f"machine-{number}" for number in range(5)]
        assert len(await service.machines(group="beta")) == 2
        assert len(await service.machines(state=State.WAITING)) == 5
        assert await service.machines(state=State.CURRENT) == ()
        named = await service.name_machine("machine-3", "rack 7")
        assert (named.id, named.alias) == ("machine-3", "rack 7")
        assert (await service.machine("rack 7")).id == "machine-3"
        await Machine(service, "machine-3", "1.0.0", "beta").ask()
        assert (await service.machine("machine-3")).alias == "rack 7"
        with pytest.raises(ConflictError, match="several"):
            await service.machine("machine-")
        with pytest.raises(NotFoundError):
            await service.machine("machine-9")
        with pytest.raises(InputError):
            await service.name_machine("machine-3", "a\nb")

    house.run(story)


def test_limits_hold(house: House) -> None:
    house.limits = Limits(machines=3, groups=4, channels=4, events_per_machine=2, write_every_s=0.01)

    async def story(service: UpdateService) -> None:
        for number in range(6):
            await Machine(service, f"m{number}", "1.0.0").ask()
            await service.machines_total()  # All is written by then.
        assert await service.machines_total() == 3
        for _ in range(4):
            await Machine(service, "m0", "1.0.0").tell(RUNNING)
        assert len(await service.events(machine="m0")) == 2
        await service.change_channel("c4", ChannelChange())
        with pytest.raises(FullError):
            await service.change_channel("c5", ChannelChange())
        await service.change_group("g4", GroupChange(channel="c4"))
        with pytest.raises(FullError):
            await service.change_group("g5", GroupChange(channel="c4"))

    house.run(story)


def test_machines_that_are_gone_for_good_are_forgotten(house: House) -> None:
    house.limits = Limits(forget_after_s=-1e10)

    async def story(service: UpdateService) -> None:
        await Machine(service, "old", "1.0.0").ask()
        await service.machines_total()

    async def later(service: UpdateService) -> None:
        await Machine(service, "new", "1.0.0").ask()
        assert [machine.id for machine in await service.machines()] == ["new"]

    house.run(story)
    house.run(later)


def test_a_grant_ends_when_the_machine_has_run_the_version_for_long(house: House) -> None:
    """Its word that it does was lost."""

    async def story(service: UpdateService) -> None:
        await publish(service, house.payload("2.0.0"))
        await service.change_group("stable", GroupChange(safe_mode=True, update_timeout_s=60))
        one, two = Machine(service, "core-01", "1.0.0"), Machine(service, "core-02", "1.0.0")
        assert await one.offered() == "2.0.0"
        one.version = "2.0.0"
        await one.ask()
        assert await two.offered() is None  # It may still fall back.
        house.clock.now_s += 61
        await one.ask()
        assert await two.offered() == "2.0.0"

    house.run(story)


def test_many_machines_at_once_lose_nothing(house: House) -> None:
    async def story(service: UpdateService) -> None:
        await publish(service, house.payload("2.0.0"))
        await service.change_group("stable", GroupChange(rate_updates=7, waves=()))
        machines = [Machine(service, f"m{number:03d}", "1.0.0") for number in range(200)]
        offers = await asyncio.gather(*(machine.offered() for machine in machines))
        assert offers.count("2.0.0") == 7
        happy = [machine for machine, offer in zip(machines, offers, strict=True) if offer]
        await asyncio.gather(*(machine.tell(APPLIED) for machine in happy))

    async def later(service: UpdateService) -> None:
        counts = (await service.group("stable")).counts
        assert counts == {"installed": 7, "waiting": 193}

    house.run(story)
    house.run(later)


def test_what_the_database_does_not_take_has_not_happened(tmp_path: Path) -> None:
    """The disk is full for a while: here a trigger says so, in the middle of what is written together."""
    house = House(sqlite_url(tmp_path / "server.sqlite"), tmp_path)
    other = sqlite3.connect(tmp_path / "server.sqlite", isolation_level=None)

    async def story(service: UpdateService) -> None:
        await publish(service, house.payload("2.0.0"))
        await service.change_group("stable", GroupChange(safe_mode=True))
        one, two = Machine(service, "core-01", "1.0.0"), Machine(service, "core-02", "1.0.0")
        full = "BEFORE INSERT ON update_event BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        other.execute(f"CREATE TRIGGER full {full}")
        with pytest.raises(SQLAlchemyError):
            await one.ask()
        with pytest.raises(SQLAlchemyError):
            await service.change_group("stable", GroupChange(updates_enabled=False))
        with pytest.raises(SQLAlchemyError):
            await publish(service, house.payload("3.0.0"))
        assert service.channel("stable").package == service.packages()[1]
        other.execute("DROP TRIGGER full")
        assert await two.offered() == "2.0.0"
        failure = {"error_code": ErrorCode.BOOT_FAILED, "next_version": "2.0.0", "reason": "no kernel"}
        other.execute(f"CREATE TRIGGER full {full}")
        for event in (FAILED, RUNNING):
            with pytest.raises(SQLAlchemyError):
                await two.tell(event, **(failure if event == FAILED else {}))
        other.execute("DROP TRIGGER full")
        assert await one.offered() is None  # The other still tries it.
        await two.tell(FAILED, **failure)

    async def later(service: UpdateService) -> None:
        (stop,) = (await service.group("stable")).stopped
        assert (stop.machine, stop.reason) == ("core-02", "no kernel")

    house.run(story)
    house.run(later)
    other.close()


def test_a_second_server_on_the_same_database_is_refused(house: House) -> None:
    with (
        open_database(house.url, [SCHEMA]),
        pytest.raises(Exception, match="another server is using"),
        contextlib.ExitStack() as stack,
    ):
        stack.enter_context(open_database(house.url, [SCHEMA]))
