"""What decides: settings, schedule, pre-flight, plan, memory. Tables and properties."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.node.update.bench import NEW, OLD, contents, packed

from argosy.base.errors import InputError
from argosy.formats import payload as p
from argosy.formats.bootenv import BootEnvironment
from argosy.formats.gpt import UsrAttributes
from argosy.formats.omaha.codes import ErrorCode
from argosy.formats.version import Version
from argosy.node.slots import machine as slots_machine
from argosy.node.slots.model import TRIES, Failure, FailureKind, Records, SlotBits, SlotsState
from argosy.node.update import memory, schedule
from argosy.node.update.model import (
    Answer,
    Asked,
    Check,
    Failures,
    Install,
    Observation,
    Offer,
    State,
    Wait,
)
from argosy.node.update.plan import armed_version, plan
from argosy.node.update.preflight import Room, Wishes, preflight
from argosy.node.update.problems import Code, payload_problem, problem
from argosy.node.updateconf import Settings, is_http_url, read_settings, with_value

chances = st.floats(0, 1, exclude_max=True)
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0

# Settings


def settings(tmp_path: Path, *texts: str, environment: dict[str, str] | None = None) -> Settings:
    files = []
    for number, text in enumerate(texts):
        files.append(tmp_path / f"{number}.conf")
        files[-1].write_text(text)
    return read_settings([*files, tmp_path / "missing"], environment)


def test_the_first_file_that_has_a_key_decides(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        "GROUP=beta\nREBOOT_STRATEGY=off\n",
        "GROUP=stable\nSERVER=http://a/v1/update/\n",
        "COREOS_RELEASE_VERSION=4891.0.0\nCOREOS_RELEASE_BOARD=amd64-usr\nCOREOS_RELEASE_APPID={x}\n"
        "COREOS_RELEASE_FLOOR=4000.0.0\n",
    )
    assert (found.group, found.server, found.reboot_strategy) == ("beta", "http://a/v1/update/", "off")
    assert (found.version, found.board, found.application) == ("4891.0.0", "amd64-usr", "{x}")
    assert found.floor == Version(4000)


def test_an_empty_server_of_the_machine_switches_the_releases_off(tmp_path: Path) -> None:
    assert settings(tmp_path, "SERVER=\n", "SERVER=http://a/\n").server == ""
    assert settings(tmp_path, "SERVER=disabled\n", "SERVER=http://a/\n").server == ""


def test_defaults_comments_and_quotes(tmp_path: Path) -> None:
    assert settings(tmp_path) == Settings()
    found = settings(
        tmp_path, "# GROUP=x\n\nGROUP = 'alpha' \nnonsense\nLOCKSMITHD_X=1\nHOLD=\"until May\"\n"
    )
    assert (found.group, found.hold) == ("alpha", "until May")
    assert settings(tmp_path, "HOLD=yes\n").hold == "no reason given"
    assert settings(tmp_path, "HOLD=false\n").hold == ""


def test_the_highest_floor_counts(tmp_path: Path) -> None:
    assert settings(tmp_path, "FLOOR=10.0.0\n", "COREOS_RELEASE_FLOOR=20.0.0\n").floor == Version(20)
    assert settings(tmp_path, "FLOOR=30.0.0\n", "COREOS_RELEASE_FLOOR=20.0.0\n").floor == Version(30)


@pytest.mark.parametrize(
    "line",
    ["SERVER=ftp://a/", "SERVER=a", "PIN=latest", "FLOOR=1", "REBOOT_METHOD=fast", "REBOOT_STRATEGY=never"],
)
def test_wrong_settings_name_their_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError, match=r"0\.conf:2: "):
        settings(tmp_path, f"GROUP=stable\n{line}\n")


def test_a_wrong_proxy_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        settings(tmp_path, "HTTP_PROXY=https://user:secret@proxy\n")
    assert "secret" not in str(caught.value)


def test_proxies(tmp_path: Path) -> None:
    environment = {"http_proxy": "http://e:1", "HTTPS_PROXY": "e:2", "NO_PROXY": "a,b"}
    assert settings(tmp_path, environment=environment).proxies == {
        "http": "http://e:1",
        "https": "http://e:2",
        "no": "a,b",
    }
    assert settings(tmp_path, "HTTP_PROXY=f:1\n", environment=environment).proxies["http"] == "http://f:1"


def test_one_key_is_changed() -> None:
    text = "GROUP=a\n PIN = 1.0.0\n# PIN=x\n"
    assert with_value(text, "PIN", "2.0.0") == "GROUP=a\n# PIN=x\nPIN=2.0.0\n"
    assert with_value(text, "PIN", "") == "GROUP=a\n# PIN=x\n"
    assert with_value("", "HOLD", "two\nlines") == "HOLD=two lines\n"


@given(st.text())
def test_addresses(text: str) -> None:
    if is_http_url(text):
        assert text.isascii() and text.startswith(("http", "HTTP", "Http", "hT", "H", "h"))
    assert not is_http_url("file://" + text)


# Schedule


@given(chances)
def test_the_first_check_is_about_ten_minutes_after_boot(chance: float) -> None:
    assert 2 * MINUTE <= schedule.first_check_s(0, chance) <= 12 * MINUTE
    late = schedule.first_check_s(5 * HOUR, chance)
    assert 5 * HOUR <= late <= 5 * HOUR + MINUTE


@given(chances)
def test_checks_are_about_hourly(chance: float) -> None:
    assert 40 * MINUTE <= schedule.next_check_s(0, chance) <= 50 * MINUTE


@given(chances, st.integers(0, 100))
def test_a_busy_service_is_asked_less_often(chance: float, busy: int) -> None:
    pause_s = schedule.next_check_s(0, chance, busy_answers=busy)
    assert min(45 * MINUTE * 2 ** min(busy, 4), 4 * HOUR) - 5 * MINUTE <= pause_s <= 4 * HOUR + 5 * MINUTE


@given(chances, st.integers(), st.integers(0, 9), st.none() | st.integers(0, 10**9))
def test_what_a_service_asks_for_has_limits(chance: float, poll: int, busy: int, wait: int | None) -> None:
    pause_s = schedule.next_check_s(0, chance, poll_s=poll, busy_answers=busy, wait_s=wait)
    assert 50 <= pause_s <= DAY + 5 * MINUTE


@given(st.integers(1, 10**6), chances)
def test_payloads_that_failed_are_left_alone_for_days(failures: int, chance: float) -> None:
    days = min(2 ** (failures - 1) if failures < 9 else 16, 16)
    assert abs(schedule.payload_backoff_s(failures, chance) - days * DAY) <= 6 * HOUR


# Pre-flight

ROOM = Room(slot_bytes=1 << 30, esp_bytes=100 << 20, state_bytes=1 << 30)
MANIFEST, _ = packed(contents(), NEW, None)


def codes(wishes: Wishes, room: Room = ROOM, keys: int = 1) -> list[str]:
    found = preflight(MANIFEST, wishes, room, keys=keys)
    assert len({each.sentence for each in found}) == len(found)
    return [each.code for each in found]


def test_nothing_against_it() -> None:
    assert codes(Wishes(Version(0))) == []
    assert codes(Wishes(Version(4892), pin=Version(4892))) == []


def test_every_reason_at_once() -> None:
    wishes = Wishes(Version(9999), pin=Version(1), hold="no", failed={NEW})
    everything = codes(wishes, Room(0, 0, 0), keys=0)
    assert everything == [
        Code.HELD,
        Code.PINNED,
        Code.FAILED_BEFORE,
        p.Code.FLOOR,
        Code.SLOT_TOO_SMALL,
        Code.ESP_FULL,
        Code.STATE_FULL,
        Code.NO_KEY,
    ]
    assert Code.FAILED_BEFORE not in codes(replace(wishes, retry=True))


def test_room_to_the_byte() -> None:
    sizes = {part.name: part.size_bytes for part in MANIFEST.parts}
    files = sizes[p.VMLINUZ] + sizes[p.INITRD] + sizes[p.BOOT] + (1 << 20)
    exact = Room(slot_bytes=sizes[p.USR], esp_bytes=files, state_bytes=1 << 20)
    assert codes(Wishes(Version(0)), exact) == []
    assert codes(Wishes(Version(0)), replace(exact, slot_bytes=sizes[p.USR] - 1)) == [Code.SLOT_TOO_SMALL]
    assert codes(Wishes(Version(0)), replace(exact, esp_bytes=files - 1)) == [Code.ESP_FULL]
    assert codes(Wishes(Version(0)), replace(exact, state_bytes=(1 << 20) - 1)) == [Code.STATE_FULL]


def test_every_code_has_a_number() -> None:
    for code in Code:
        assert problem(code, "x").number
    for other in p.Code:
        assert payload_problem(p.PayloadError(other, "x")).number


# Plan

SETTINGS = Settings(server="http://a/", version=OLD)
EMPTY = UsrAttributes()
EMPTY = UsrAttributes()
COMMITTED = UsrAttributes(priority=1, successful=True)
OFFER = Offer(NEW, ("http://a/x",), 100, payload="sha")


def slots(b: UsrAttributes = EMPTY, *, a: UsrAttributes = COMMITTED, **records: object) -> SlotsState:
    return SlotsState(SlotBits(a, b), BootEnvironment(), "a", Records(**records))  # type: ignore[arg-type]


def seen(**values: object) -> Observation:
    base = Observation(
        now_s=1000.0, boot_id="boot", state=State("boot", 5000.0), settings=SETTINGS, slots=slots()
    )
    return replace(base, **values)  # type: ignore[arg-type]


ARMED = slots(UsrAttributes(priority=2, tries=TRIES), versions={"b": NEW})
HELD = replace(SETTINGS, hold="no")
DUE = State("boot", 1000.0)


@pytest.mark.parametrize(
    ("observed", "action", "words"),
    [
        (seen(slots=None, slots_problem="no slots"), Wait, "cannot update: no slots"),
        (seen(settings=None, settings_problem="line 3"), Wait, "settings of the updates are wrong: line 3"),
        (seen(settings=Settings()), Wait, "no update service is set"),
        (seen(settings=Settings(), asked=Asked()), Wait, "no update service is set"),
        (seen(slots=slots(a=UsrAttributes(priority=2, tries=2)), state=DUE), Wait, "on trial"),
        (seen(slots=ARMED), Wait, "4892.0.0 is installed and waits for a reboot"),
        (seen(slots=ARMED, asked=Asked()), Wait, "waits for a reboot"),
        (seen(), Wait, "has not been asked yet"),
        (seen(state=State("boot", 5000.0, answer="nothing new")), Wait, "nothing new"),
        (seen(state=DUE), Check, "it is time"),
        (seen(asked=Asked()), Check, "a person asks"),
        (seen(settings=HELD), Wait, "updates are held: no"),
        (seen(settings=HELD, asked=Asked()), Wait, "updates are held: no"),
        (seen(offer=OFFER), Install, "4892.0.0 is offered"),
        (seen(offer=replace(OFFER, version=OLD)), Wait, "runs already"),
        (seen(offer=replace(OFFER, version="4000.0.0")), Install, "4000.0.0 is offered"),
        (seen(offer=replace(OFFER, floor="5000.0.0")), Wait, "below the floor 5000.0.0"),
        (seen(offer=OFFER, state=replace(DUE, floor="5000.0.0")), Wait, "below the floor 5000.0.0"),
        (seen(offer=OFFER, settings=replace(SETTINGS, pin=Version(1))), Wait, "pinned to version 1.0.0"),
        (
            seen(offer=OFFER, slots=slots(failures=(Failure(NEW, "b", "x", 1, FailureKind.BOOT),))),
            Wait,
            "failed on this machine",
        ),
    ],
)
def test_what_comes_next(observed: Observation, action: type, words: str) -> None:
    found = plan(observed)
    assert isinstance(found, action), found
    assert words in found.reason


def test_alive_signs_are_quiet() -> None:
    for observed in (seen(slots=ARMED, state=DUE), seen(settings=HELD, state=DUE)):
        found = plan(observed)
        assert isinstance(found, Check) and found.quiet and not found.on_demand
    assert isinstance(plan(seen(waiting_events=1, events_due_s=999.0)), Check)
    assert isinstance(plan(seen(waiting_events=1, events_due_s=1001.0)), Wait)


def test_retry_takes_what_failed() -> None:
    failed = slots(failures=(Failure(NEW, "b", "x", 1, FailureKind.BOOT),))
    assert isinstance(plan(seen(offer=OFFER, slots=failed, asked=Asked())), Wait)
    assert isinstance(plan(seen(offer=OFFER, slots=failed, asked=Asked(retry=True))), Install)


BAD = payload_problem(p.PayloadError(p.Code.DATA_HASH, "damaged"))
STALLED = problem(Code.STALLED, "stalled")


def test_a_bad_payload_is_left_alone_until_its_time_a_reboot_or_a_person() -> None:
    state = replace(DUE, failures=(Failures("sha", NEW, BAD, bad=2, boot_id="boot", not_before_s=9000.0),))
    alone = plan(seen(offer=OFFER, state=state))
    assert isinstance(alone, Wait) and "refused 2 times: damaged; it is left alone for 2 h" in alone.reason
    assert isinstance(plan(seen(offer=OFFER, state=state, now_s=9000.0)), Install)
    assert isinstance(plan(seen(offer=OFFER, state=state, boot_id="other")), Install)
    assert isinstance(plan(seen(offer=OFFER, state=state, asked=Asked())), Install)
    assert isinstance(plan(seen(offer=replace(OFFER, payload="new"), state=state)), Install)


@given(
    st.builds(UsrAttributes, st.integers(0, 3), st.integers(0, 3), st.booleans()),
    st.builds(UsrAttributes, st.integers(0, 3), st.integers(0, 3), st.booleans()),
    st.none() | st.just(OFFER),
    st.none() | st.builds(Asked, st.booleans()),
    st.floats(0, 10000),
    st.integers(0, 2),
)
def test_the_way_back_is_never_written(
    a: UsrAttributes, b: UsrAttributes, offer: Offer | None, asked: Asked | None, now_s: float, events: int
) -> None:
    """Whatever is observed: an installation begins only where the slots would allow it."""
    state = slots(b, a=a)
    found = plan(seen(slots=state, offer=offer, asked=asked, now_s=now_s, waiting_events=events))
    if isinstance(found, Install):
        assert not state.in_trial and armed_version(state) is None
        if a.priority:
            slots_machine.invalidate(state)


# Memory


def test_a_boot_begins_with_a_schedule_of_its_own() -> None:
    old = State("before", 99.0, busy_answers=3)
    assert memory.started(old, "now", 0, 0.5, unfinished=True) == replace(
        old, boot_id="now", next_check_s=7 * MINUTE, busy_answers=0
    )
    same = State("now", 5000.0)
    assert memory.started(same, "now", 10, 0.5, unfinished=False) == same
    assert memory.started(same, "now", 10, 0.5, unfinished=True).next_check_s == 10


def test_a_wrong_clock_changes_nothing() -> None:
    """The wall clock is written down to be shown, and for nothing else."""
    check, answer = Check("x"), Answer("nothing", heard=True)
    times = [memory.checked(DUE, check, answer, 1000, wall_s, 0.5) for wall_s in (0, 1.7e9, 1e12)]
    assert len({replace(each, checked_at_s=0) for each in times}) == 1
    assert [each.checked_at_s for each in times] == [0, 1_700_000_000, 1_000_000_000_000]


def test_busy_answers_add_up_and_end() -> None:
    busy = Answer("x", busy=True, problem=problem(Code.ANSWER_STATUS, "x"))
    once = memory.checked(DUE, Check(""), busy, 1000, 0, 0.5)
    twice = memory.checked(replace(once, next_check_s=1000.0), Check(""), busy, 1000, 0, 0.5)
    assert (once.next_check_s, twice.next_check_s) == (1000 + 90 * MINUTE, 1000 + 180 * MINUTE)
    well = memory.checked(twice, Check(""), Answer("y", heard=True), 1000, 5, 0.5)
    assert (well.busy_answers, well.problems, well.answer, well.checked_at_s) == (0, (), "y", 5)


def test_delivering_events_changes_no_plan() -> None:
    state = State("boot", 5000.0, answer="z")
    assert memory.checked(state, Check("", quiet=True), Answer(heard=True), 1000, 5, 0.5) == state
    due = memory.checked(state, Check("", quiet=True), Answer(heard=True), 5000, 5, 0.5)
    assert (due.answer, due.next_check_s) == ("z", 5000 + 45 * MINUTE)


def test_installations_that_fail() -> None:
    install = Install(OFFER, "")
    first = memory.installed(DUE, install, (BAD,), "0.0.0", 1000, 0.5)
    (found,) = first.failures
    assert (found.bad, found.broken_off, found.not_before_s) == (1, 0, 1000 + DAY)
    (found,) = memory.installed(first, install, (BAD,), "0.0.0", 1000, 0.5).failures
    assert (found.bad, found.not_before_s) == (2, 1000 + 2 * DAY)
    free = Install(replace(OFFER, disable_backoff=True), "")
    assert memory.installed(DUE, free, (BAD,), "0.0.0", 1000, 0.5).failures[0].not_before_s == 0
    assert memory.installed(first, install, (), "4000.0.0", 1000, 0.5) == replace(
        DUE, floor="4000.0.0", problems=()
    )


def test_after_ten_interrupted_downloads_it_begins_anew() -> None:
    state, install = DUE, Install(OFFER, "")
    for _ in range(10):
        assert not install.afresh
        state = memory.installed(state, install, (STALLED,), "0.0.0", 1000, 0.5)
        action = plan(seen(offer=OFFER, state=state))
        assert isinstance(action, Install)
        install = action
    assert install.afresh
    state = memory.installed(state, install, (STALLED,), "0.0.0", 1000, 0.5)
    assert state.failures[0].broken_off == 1


def test_floors_only_rise() -> None:
    state = memory.installed(DUE, Install(OFFER, ""), (), "4000.0.0", 0, 0.5)
    assert memory.installed(state, Install(OFFER, ""), (), "3000.0.0", 0, 0.5).floor == "4000.0.0"


def test_news() -> None:
    events, state = memory.news(State(), slots(), OLD)
    assert (events, state.version, state.first_version) == ((), OLD, OLD)
    # On trial: not yet.
    trial = slots(a=UsrAttributes(priority=2, tries=1))
    assert memory.news(state, trial, NEW)[0] == ()
    (event,), after = memory.news(replace(state, offer=OFFER, answer="x"), slots(), NEW)
    assert (event.type, event.result, event.previous_version) == (3, 2, OLD)
    assert (after.version, after.offer, after.answer) == (NEW, None, "")
    assert memory.news(after, slots(), NEW) == ((), after)


@pytest.mark.parametrize("tried", [0, 1, 3])
def test_failures_are_told_once_with_their_kind(tried: int) -> None:
    environment = BootEnvironment(tried="b" * tried)
    state = SlotsState(
        SlotBits(COMMITTED, UsrAttributes(priority=2)), environment, "a", Records(versions={"b": NEW})
    )
    records = slots_machine.reconcile(state, OLD, 77).records
    (event,), after = memory.news(State(version=OLD), replace(state, records=records), OLD)
    assert (event.type, event.result, event.error_code) == (3, 0, ErrorCode.BOOT_FAILED)
    assert (event.next_version, event.reason) == (NEW, records.failures[0].reason)
    assert memory.news(after, replace(state, records=records), OLD)[0] == ()


def test_probes_that_failed_are_another_kind() -> None:
    state = SlotsState(SlotBits(COMMITTED, UsrAttributes(priority=2)), BootEnvironment(), "b", Records())
    records = slots_machine.reject(state, "the health probe etcd failed", 77).records
    (event,), _ = memory.news(State(version=OLD), replace(state, running="a", records=records), OLD)
    assert event.error_code == ErrorCode.HEALTH_FAILED
