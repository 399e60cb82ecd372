"""Rollouts over a real database of each kind, and over restarts: waves, progress, stops, what people do."""

from __future__ import annotations

import pytest
import sqlalchemy as sql
from tests.server.update.house import APPLIED, FAILED, RUNNING, START_S, House, Machine, publish

from argosy.base.errors import InputError
from argosy.formats.omaha.codes import ErrorCode, EventResult, EventType
from argosy.formats.omaha.model import Stage, Withdrawn
from argosy.formats.updateapi import CAREFUL, GroupChange, RolloutState, State, Wave
from argosy.server.database import open_database
from argosy.server.update import tables
from argosy.server.update.model import NotFoundError
from argosy.server.update.service import UpdateService

DROPPED = (EventType.UPDATE_COMPLETE, EventResult.CANCELLED)


async def machines(service: UpdateService, count: int) -> list[Machine]:
    """So many machines of version 1.0.0, which the service has seen."""
    found = [Machine(service, f"core-{n:02d}", "1.0.0", name=f"host-{n:02d}") for n in range(count)]
    for machine in found:
        await machine.say()
    await service.machines()  # Now all of that is written, and counted at the next write.
    return found


def again(service: UpdateService, machines: list[Machine]) -> list[Machine]:
    """The same machines after a restart of the service."""
    for machine in machines:
        machine.service = service
    return machines


def test_a_new_group_is_careful(house: House) -> None:
    async def story(service: UpdateService) -> None:
        assert (await service.group("stable")).policy == CAREFUL
        assert (await service.change_group("lab", GroupChange(channel="beta"))).policy == CAREFUL

    house.run(story)


def test_waves_over_a_restart(house: House) -> None:
    known: list[Machine] = []

    async def first(service: UpdateService) -> None:
        known[:] = await machines(service, 10)
        await publish(service, house.payload("2.0.0"))
        await service.change_group("stable", GroupChange(waves=("1", "30%")))
        one, two, *_ = known
        assert await one.offered() == "2.0.0"
        waits = await two.ask()
        assert (waits.reason, waits.poll_interval_s) == ("host-00 (core-00) takes 2.0.0 first", 60)
        assert (await service.rollout("stable")).wave == Wave(1, 3, 1)

    async def second(service: UpdateService) -> None:
        one, two, three, four, *_ = again(service, known)
        assert (await two.ask()).reason == "host-00 (core-00) takes 2.0.0 first"
        await one.take("2.0.0")
        for machine in (two, three):
            assert await machine.offered() == "2.0.0"
        assert "3 machines of the group stable take 2.0.0" in (await four.ask()).reason

    async def third(service: UpdateService) -> None:
        _, two, three, four, *_ = again(service, known)
        await two.take("2.0.0")
        assert "2 of them run it" in (await four.ask()).reason
        await three.take("2.0.0")

    async def fourth(service: UpdateService) -> None:
        rest = again(service, known)[3:]
        assert [await machine.offered() for machine in rest] == ["2.0.0"] * 7
        found = await service.rollout("stable")
        assert (found.machines_done, found.machines_taking, found.wave) == (3, 7, Wave(3, 3, 10))
        for machine in rest:
            await machine.take("2.0.0")
        found = await service.rollout("stable")
        assert (found.state, found.reason) == (RolloutState.DONE, "all machines run 2.0.0")

    async def fifth(service: UpdateService) -> None:
        """The next version begins anew with one."""
        one, two, *_ = again(service, known)
        await publish(service, house.payload("3.0.0"))
        assert await one.offered() == "3.0.0"
        assert await two.offered() is None

    async def sixth(service: UpdateService) -> None:
        """And so does one that was taken back, and is given out again."""
        one, two, *_ = again(service, known)
        await one.take("3.0.0")
        await service.rollback("stable")
        assert await one.offered() == "2.0.0"
        house.clock.now_s += 10
        [package] = [each for each in service.packages() if each.version == "3.0.0"]
        await service.publish("stable", package.sha256)
        assert await two.offered() == "3.0.0"

    async def seventh(service: UpdateService) -> None:
        *_, last = again(service, known)
        assert (await last.ask()).reason == "host-01 (core-01) takes 3.0.0 first"

    for story in (first, second, third, fourth, fifth, sixth, seventh):
        house.run(story)


def test_how_far_a_machine_is(house: House) -> None:
    async def story(service: UpdateService) -> None:
        [machine] = await machines(service, 1)
        await publish(service, house.payload("2.0.0"))
        assert await machine.offered() == "2.0.0"
        for stage, percent, reason, state, words in (
            (Stage.DOWNLOADING, 40, "", State.DOWNLOADING, "downloads 2.0.0"),
            (Stage.DOWNLOADING, 90, "", State.DOWNLOADING, "downloads 2.0.0"),
            (Stage.VERIFYING, None, "", State.DOWNLOADED, "has downloaded 2.0.0, and verifies it"),
            (
                Stage.INSTALLED,
                None,
                "the lock is held by core-09",
                State.INSTALLED,
                "has installed 2.0.0 and waits for a reboot: the lock is held by core-09",
            ),
            (Stage.REBOOTING, None, "", State.REBOOTING, "reboots into 2.0.0"),
            (
                Stage.PROBING,
                None,
                "etcd: not healthy",
                State.PROBING,
                "runs 2.0.0 on trial, until its health probes have passed: etcd: not healthy",
            ),
        ):
            assert await machine.get_on(stage, "2.0.0", percent, reason) is None
            seen = await machine.seen()
            assert (seen.state, seen.percent, seen.reason) == (state, percent, words)
            await machine.say()  # A sign of life changes nothing of it.
            assert (await machine.seen()).percent == percent
        machine.version = "2.0.0"
        assert (await service.rollout("stable")).state is RolloutState.ROLLING
        await machine.tell(RUNNING, previous_version="1.0.0")
        assert (await service.rollout("stable")).state is RolloutState.DONE

    house.run(story)


def test_a_machine_that_falls_back_stops_the_wave_with_its_name(house: House) -> None:
    async def story(service: UpdateService) -> None:
        one, two = await machines(service, 2)
        await publish(service, house.payload("2.0.0"))
        assert await one.offered() == "2.0.0"
        await one.tell(
            FAILED, error_code=ErrorCode.HEALTH_FAILED, next_version="2.0.0", reason="50-web: no answer"
        )
        found = await service.rollout("stable")
        assert (found.state, found.culprit, found.culprit_name) == (RolloutState.STOPPED, one.id, "host-00")
        assert (
            found.reason == "2.0.0 was stopped for the group stable: on host-00 (core-00), 50-web: no answer"
        )
        assert (await two.ask()).reason == found.reason

    async def later(service: UpdateService) -> None:
        found = await service.rollout("stable")
        assert found.culprit_name == "host-00"
        assert [machine.state for machine in found.machines] == [State.FELL_BACK, State.WAITING]

    house.run(story)
    house.run(later)


def test_a_machine_that_does_not_come_back_stops_the_wave_until_it_does(house: House) -> None:
    known: list[Machine] = []

    async def story(service: UpdateService) -> None:
        known[:] = await machines(service, 3)
        one, two, _ = known
        await publish(service, house.payload("2.0.0"))
        assert await one.offered() == "2.0.0"
        await one.get_on(Stage.REBOOTING, "2.0.0")
        house.clock.now_s += 3601
        answer = await two.ask()
        assert answer.manifest is None
        assert "host-00 (core-00) took 2.0.0, was rebooting, and has not been heard of since" in answer.reason
        assert answer.poll_interval_s is None
        found = await service.rollout("stable")
        assert (found.state, found.culprit_name) == (RolloutState.STOPPED, "host-00")
        [its] = [machine for machine in found.machines if machine.id == one.id]
        assert its.reason.startswith("has not been heard of since")

    async def comes_back(service: UpdateService) -> None:
        one, two, three = again(service, known)
        assert (await service.rollout("stable")).state is RolloutState.STOPPED
        one.version = "2.0.0"
        await one.tell(RUNNING, previous_version="1.0.0")
        assert (await service.rollout("stable")).state is RolloutState.ROLLING
        assert await two.offered() == "2.0.0"
        house.clock.now_s += 3601
        assert await three.offered() is None
        await service.change_group("stable", GroupChange(retry="2.0.0"))
        assert await three.offered() == "2.0.0"

    house.run(story)
    house.run(comes_back)


def test_who_waits_for_its_reboot_and_says_so_is_not_late(house: House) -> None:
    async def story(service: UpdateService) -> None:
        one, two = await machines(service, 2)
        await publish(service, house.payload("2.0.0"))
        assert await one.offered() == "2.0.0"
        await one.tell(APPLIED)
        for _ in range(20):
            house.clock.now_s += 45 * 60
            await one.get_on(Stage.INSTALLED, "2.0.0", reason="the next reboot window opens on Sunday")
            assert (await two.ask()).reason == "host-00 (core-00) takes 2.0.0 first"

    house.run(story)


def test_what_is_aborted_is_taken_back_from_all_who_do_not_run_it(house: House) -> None:
    known: list[Machine] = []

    async def story(service: UpdateService) -> None:
        known[:] = await machines(service, 4)
        one, two, three, four = known
        await publish(service, house.payload("2.0.0"))
        await service.change_group("stable", GroupChange(waves=()))
        await one.take("2.0.0")
        for machine in (two, three):
            assert await machine.offered() == "2.0.0"
        await two.tell(APPLIED)
        assert await two.get_on(Stage.INSTALLED, "2.0.0") is None
        with pytest.raises(NotFoundError):
            await service.change_group("stable", GroupChange(abort="9.0.0"))
        await service.change_group("stable", GroupChange(abort="2.0.0"))
        found = await service.rollout("stable")
        assert (found.state, found.culprit) == (RolloutState.ABORTED, "")
        reason = "2.0.0 was withdrawn from the group stable: a person aborted its rollout"
        assert found.reason == reason
        gone = Withdrawn("2.0.0", reason)
        assert await two.get_on(Stage.INSTALLED, "2.0.0") == gone
        assert await three.get_on(Stage.DOWNLOADING, "2.0.0", 10) == gone
        assert await three.get_on(Stage.PROBING, "2.0.0") is None  # It has booted it: its probes decide.
        assert await two.get_on(Stage.INSTALLED, "1.5.0") is None
        assert (await four.ask()).reason == reason
        assert await one.offered() is None

    async def later(service: UpdateService) -> None:
        one, two, _, four = again(service, known)
        assert (await service.rollout("stable")).state is RolloutState.ABORTED
        await two.tell(DROPPED, next_version="2.0.0", reason="aborted")
        seen = await two.seen()
        assert (seen.state, seen.reason) == (State.WAITING, "has dropped 2.0.0: aborted")
        assert (await service.rollout("stable")).machines_taking == 1
        await service.change_group("stable", GroupChange(retry="2.0.0"))
        assert (await service.rollout("stable")).state is RolloutState.ROLLING
        assert await two.offered() == "2.0.0"
        assert await four.offered() == "2.0.0"
        assert (await one.seen()).version == "2.0.0"

    house.run(story)
    house.run(later)


def test_a_rollback_takes_back_what_waits_for_its_reboot(house: House) -> None:
    async def story(service: UpdateService) -> None:
        [machine] = await machines(service, 1)
        for version in ("1.0.0", "2.0.0"):
            await publish(service, house.payload(version))
        assert await machine.offered() == "2.0.0"
        await service.rollback("stable")
        assert await machine.get_on(Stage.INSTALLED, "2.0.0") == Withdrawn(
            "2.0.0", "stable was rolled back from 2.0.0"
        )

    house.run(story)


def test_how_often_machines_are_told_to_ask(house: House) -> None:
    async def story(service: UpdateService) -> None:
        one, two = await machines(service, 2)
        assert (await one.ask()).poll_interval_s is None
        await publish(service, house.payload("2.0.0"))
        await service.change_group("stable", GroupChange(poll_s=120))
        assert (await one.ask()).poll_interval_s == 120
        assert (await two.ask()).poll_interval_s == 60  # It waits for the other one.

    house.run(story)


@pytest.mark.parametrize(
    "change",
    [
        GroupChange(waves=("1", "ten")),
        GroupChange(waves=("1",) * 21),
        GroupChange(at_once="0"),
        GroupChange(poll_s=59),
        GroupChange(poll_s=86401),
    ],
)
def test_policies_that_are_none(house: House, change: GroupChange) -> None:
    async def story(service: UpdateService) -> None:
        with pytest.raises(InputError):
            await service.change_group("stable", change)
        assert (await service.group("stable")).policy == CAREFUL

    house.run(story)


def test_a_database_from_before_there_were_rollouts(house: House) -> None:
    with open_database(house.url, [tables.SCHEMA]) as database, database.writing() as connection:
        for column in (tables.machines.c.percent, tables.grants.c.host, tables.verdicts.c.host):
            connection.execute(sql.text(f"ALTER TABLE {column.table.name} DROP COLUMN {column.name}"))
        connection.execute(sql.text("UPDATE schema_version SET version = 1"))

    async def story(service: UpdateService) -> None:
        [machine] = await machines(service, 1)
        await publish(service, house.payload("2.0.0"))
        await machine.take("2.0.0")
        assert (await service.rollout("stable")).state is RolloutState.DONE
        assert house.clock() == START_S

    house.run(story)
