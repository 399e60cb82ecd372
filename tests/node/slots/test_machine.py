"""The state machine: what it decides, and that no power cut brings a machine down."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.node.slots.world import DEAD, GOOD, LATE, MISSING, PARTIAL, World, attempt, settle

from argosy.formats.bootenv import BootEnvironment, choose, could_not_load
from argosy.formats.gpt import UsrAttributes
from argosy.node.slots import machine
from argosy.node.slots.model import RETURNS, Records, SlotBits, SlotsError, SlotsState

OLD = UsrAttributes(priority=1, successful=True)
NEW = UsrAttributes(priority=2, successful=True)
TRIAL = UsrAttributes(priority=2, tries=3)
EMPTY = UsrAttributes()


def state(
    a: UsrAttributes, b: UsrAttributes, running: str = "a", environment: BootEnvironment | None = None
) -> SlotsState:
    bits = SlotBits(a, b)
    records = Records(versions={"a": "1.0.0", "b": "2.0.0"})
    return SlotsState(bits, environment or machine.project(bits), running, records)


# What the boot loader is told


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (OLD, EMPTY, BootEnvironment("a")),
        (EMPTY, OLD, BootEnvironment("b")),
        (OLD, NEW, BootEnvironment("b")),
        (NEW, OLD, BootEnvironment("a")),
        (OLD, OLD, BootEnvironment("a")),
        (OLD, TRIAL, BootEnvironment("a", ("b", "b", "b"))),
        (TRIAL, OLD, BootEnvironment("b", ("a", "a", "a"))),
        (OLD, replace(TRIAL, tries=1), BootEnvironment("a", ("b",))),
        (OLD, replace(TRIAL, tries=0), BootEnvironment("a")),
        (OLD, replace(TRIAL, tries=15), BootEnvironment("a", ("b", "b", "b"))),
        (NEW, replace(TRIAL, priority=1), BootEnvironment("a")),
        (EMPTY, TRIAL, BootEnvironment("b", ("b", "b", "b"))),
        (EMPTY, EMPTY, BootEnvironment("a")),
        (EMPTY, replace(TRIAL, tries=0), BootEnvironment("b")),
    ],
)
def test_the_environment_follows_from_the_bits(
    a: UsrAttributes, b: UsrAttributes, expected: BootEnvironment
) -> None:
    assert machine.project(SlotBits(a, b)) == expected


# Single decisions


def test_an_update_that_works_is_committed() -> None:
    armed = machine.arm(state(OLD, EMPTY), "2.0.0")
    assert armed.bits == SlotBits(OLD, TRIAL)
    assert armed.records.version("b") == "2.0.0"
    choice = choose(armed.environment)
    assert (choice.slot, choice.trial) == ("b", True)
    booted = machine.reconcile(state(OLD, TRIAL, "b", choice.environment), "2.0.0", 0)
    assert booted.bits.b == replace(TRIAL, tries=2)
    assert booted.environment == BootEnvironment("a", ("b", "b"))
    done = machine.commit(state(OLD, booted.bits.b, "b"))
    assert done.bits == SlotBits(OLD, NEW)
    assert done.environment == BootEnvironment("b")


def test_a_version_that_never_comes_up_has_failed() -> None:
    woken = state(OLD, TRIAL, "a", BootEnvironment("a", (), "bbb"))
    plan = machine.reconcile(woken, "1.0.0", 77)
    assert plan.bits == SlotBits(OLD, EMPTY)
    (failure,) = plan.records.failures
    assert (failure.version, failure.slot, failure.time_s) == ("2.0.0", "b", 77)
    assert failure.reason == "it did not come up in 3 tries"
    assert machine.bad_versions(plan.records) == {"2.0.0"}


def test_a_version_that_came_up_and_crashed_says_so() -> None:
    woken = state(OLD, replace(TRIAL, tries=2), "a", BootEnvironment("a", (), "bb"))
    (failure,) = machine.reconcile(woken, "1.0.0", 0).records.failures
    assert failure.reason == "it came up, but was not committed, and did not come up in the last 2 tries"
    last = state(OLD, replace(TRIAL, tries=0), "a", BootEnvironment("a"))
    (failure,) = machine.reconcile(last, "1.0.0", 0).records.failures
    assert failure.reason == "it came up, but ended before it was committed, and had no tries left"


@pytest.mark.parametrize(
    ("part", "words"),
    [("kernel", "its kernel"), ("initrd", "its initrd"), ("config", "its boot configuration")],
)
def test_what_the_boot_loader_could_not_read_is_the_reason(part: str, words: str) -> None:
    environment = could_not_load(choose(machine.project(SlotBits(OLD, TRIAL))).environment, "b", part)
    plan = machine.reconcile(state(OLD, TRIAL, "a", environment), "1.0.0", 0)
    assert plan.bits == SlotBits(OLD, EMPTY)
    assert plan.records.failures[0].reason == f"the boot loader could not read {words}"


def test_a_committed_slot_whose_files_are_gone_is_no_bad_version() -> None:
    environment = could_not_load(BootEnvironment("b"), "b", "kernel")
    plan = machine.reconcile(state(OLD, NEW, "a", environment), "1.0.0", 0)
    assert plan.bits == SlotBits(OLD, EMPTY)
    assert plan.environment == BootEnvironment("a")
    assert machine.bad_versions(plan.records) == frozenset()
    assert any("could not read its kernel" in note for note in plan.notes)


def test_a_rejected_version_is_remembered_and_the_other_boots() -> None:
    plan = machine.reject(state(OLD, replace(TRIAL, tries=2), "b"), "probe web failed", 5)
    assert plan.bits == SlotBits(OLD, EMPTY)
    assert plan.environment == BootEnvironment("a")
    assert plan.records.failures[0].reason == "probe web failed"
    assert machine.reconcile(state(OLD, EMPTY, "a"), "1.0.0", 6).records.failures == ()


def test_a_version_on_trial_keeps_the_name_that_it_was_armed_by() -> None:
    trial = replace(TRIAL, tries=2)
    booted = machine.reconcile(state(OLD, trial, "b"), "2.0.0-odd", 5)
    failed = machine.reject(replace(state(OLD, trial, "b"), records=booted.records), "probe web failed", 5)
    assert machine.bad_versions(failed.records) == {"2.0.0"}
    assert machine.reconcile(state(OLD, NEW, "b"), "2.0.0-odd", 5).records.version("b") == "2.0.0-odd"


def test_the_last_good_slot_is_not_given_up() -> None:
    with pytest.raises(SlotsError, match="no good slot"):
        machine.reject(state(EMPTY, TRIAL, "b"), "why ever", 0)
    with pytest.raises(SlotsError, match="committed already"):
        machine.reject(state(OLD, NEW, "b"), "why ever", 0)
    for change in (machine.invalidate, lambda it: machine.arm(it, "3.0.0")):
        with pytest.raises(SlotsError, match="not committed"):
            change(state(OLD, TRIAL, "b"))


def test_what_was_rejected_is_not_committed() -> None:
    with pytest.raises(SlotsError, match="not on trial"):
        machine.commit(state(OLD, EMPTY, "b"))


def test_going_back_and_forth() -> None:
    back = machine.prioritize(state(OLD, NEW, "b"), "a")
    assert (back.bits.a.priority, back.environment) == (3, BootEnvironment("a"))
    with pytest.raises(SlotsError, match="cannot boot"):
        machine.prioritize(state(OLD, EMPTY), "b")


def test_priorities_do_not_run_out() -> None:
    top = UsrAttributes(priority=15, successful=True)
    plan = machine.arm(state(top, EMPTY), "2.0.0")
    assert plan.bits == SlotBits(replace(top, priority=1), TRIAL)


def test_an_environment_that_is_lost_is_written_anew() -> None:
    lost = replace(state(OLD, replace(TRIAL, tries=2)), environment=None)
    assert machine.reconcile(lost, "1.0.0", 0).environment == BootEnvironment("a", ("b", "b"))


def test_a_disk_without_any_mark_keeps_what_runs() -> None:
    plan = machine.reconcile(state(EMPTY, EMPTY, "b"), "2.0.0", 0)
    assert plan.bits == SlotBits(EMPTY, OLD)
    assert plan.environment == BootEnvironment("b")


def test_lost_records_break_nothing() -> None:
    woken = replace(state(OLD, TRIAL, "a", BootEnvironment("a", (), "bbb")), records=Records())
    plan = machine.reconcile(woken, "1.0.0", 0)
    assert plan.bits == SlotBits(OLD, EMPTY)
    assert machine.bad_versions(plan.records) == frozenset()


def test_an_orderly_reboot_does_not_consume_the_slot() -> None:
    world = World()
    world.boot()
    world.update(GOOD)
    world.boot()
    for _ in range(RETURNS):
        assert (world.running, world.bits.b.tries) == ("b", 2)
        world.reboot()
    world.commit()
    assert world.store.environment() == BootEnvironment("b")


def test_an_orderly_reboot_on_the_last_try_gives_that_one_back() -> None:
    world = World()
    world.boot()
    world.update(LATE)
    for tries in (2, 1, 0):
        world.boot()
        assert (world.running, world.bits.b.tries) == ("b", tries)
    world.reboot()
    assert (world.running, world.bits.b.tries) == ("b", 0)
    world.boot()
    assert world.running == "a"


def test_a_version_that_always_reboots_itself_comes_to_an_end() -> None:
    world = World()
    world.boot()
    world.update(LATE)
    world.boot()
    reboots = 0
    while world.running == "b":
        world.reboot()
        reboots += 1
    assert reboots == RETURNS + 3
    assert world.store.observe().records.failures


# Promises, under power cuts

EVENTS = st.tuples(
    st.sampled_from(["update", "update", "commit", "reject", "reboot", "go back", "crash"]),
    st.sampled_from([GOOD, DEAD, LATE, MISSING]),
    st.none() | st.integers(0, 9),
    st.booleans(),
)


@settings(max_examples=600)
@given(st.lists(EVENTS, max_size=14))
def test_a_machine_comes_up_whatever_happens(events: list[tuple[str, str, int | None, bool]]) -> None:
    """The loader's model asserts that nothing judged, and nothing without tries, is chosen; see `World`."""
    world = World()
    world.boot()
    for what, content, cut_after, torn in events:
        if cut_after is not None:
            world.power.goes_after(cut_after, torn=torn)
        attempt(world, what, content)
        assert world.bits.of(world.anchor).successful, "a good slot was lost"
        assert world.contents[world.anchor] == GOOD
    settle(world)


CHAPTERS = (
    ("update", GOOD, "commit"),
    ("update", GOOD, "reject"),
    ("update", DEAD, "crash"),
    ("update", LATE, "crash"),
    ("update", MISSING, "crash"),
    ("update", GOOD, "reboot"),
    ("update", GOOD, "go back"),
)


def told(chapters: tuple[tuple[str, str, str], ...], cuts: tuple[tuple[int, bool], ...]) -> World:
    """A machine's life, chapter by chapter, with the power going after that many writes of the whole."""
    world = World()
    pending = list(cuts)

    def arm_cut() -> None:
        if pending and world.power.cut_after is None and pending[0][0] >= world.power.writes:
            world.power.cut_after, world.power.torn = pending.pop(0)

    world.boot()
    for update, content, outcome in chapters:
        for what in (update, "crash", outcome, "crash", "crash", "crash"):
            arm_cut()
            attempt(world, what, content)
            assert world.bits.of(world.anchor).successful
        arm_cut()
        settle(world)
        attempt(world, "commit", content)
    return world


def test_a_cut_after_every_single_write() -> None:
    """Every pair of chapters, cut after each of its writes, torn or not, and once more a few writes later."""
    lives = 0
    for first in CHAPTERS:
        for second in CHAPTERS:
            chapters = (first, second)
            length = told(chapters, ()).power.writes
            for at in range(length):
                for torn in (False, True):
                    for later in (None, at, at + 1, at + 2, at + 4):
                        cuts = ((at, torn),) if later is None else ((at, torn), (later, torn))
                        settle(told(chapters, cuts))
                        lives += 1
    assert lives > 10_000


def test_the_model_notices_a_machine_that_does_not_come_up() -> None:
    world = World()
    world.contents["a"] = PARTIAL
    with pytest.raises(AssertionError, match="does not come up"):
        world.boot()


def test_the_model_notices_a_slot_that_is_tried_too_often() -> None:
    world = World()
    world.boot()
    world.update(DEAD)
    full = BootEnvironment("a", ("b", "b", "b"))
    world.store.loader_saves(full)
    with pytest.raises(AssertionError, match="chosen again"):
        for _ in range(3):
            world.boot()
            world.store.loader_saves(full)
