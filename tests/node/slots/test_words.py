"""What `argosy slots` says."""

from __future__ import annotations

from argosy.formats.bootenv import BootEnvironment
from argosy.formats.gpt import UsrAttributes
from argosy.node.slots import machine
from argosy.node.slots.model import Failure, FailureKind, Records, SlotBits, SlotsState
from argosy.node.slots.words import report, text

OLD = UsrAttributes(priority=1, successful=True)
NEW = UsrAttributes(priority=2, successful=True)
TRIAL = UsrAttributes(priority=2, tries=3)
EMPTY = UsrAttributes()


def said(
    a: UsrAttributes,
    b: UsrAttributes,
    running: str,
    failures: tuple[Failure, ...] = (),
    environment: BootEnvironment | None = None,
    *,
    lost: bool = False,
) -> str:
    bits = SlotBits(a, b)
    records = Records({"a": "4891.0.0", "b": "4892.0.0"}, failures)
    block = None if lost else environment or machine.project(bits)
    return text(report(SlotsState(bits, block, running, records)))


def test_a_fresh_machine() -> None:
    state = SlotsState(SlotBits(OLD, EMPTY), BootEnvironment("a"), "a", Records({"a": "4891.0.0"}))
    assert text(report(state)) == (
        "A  4891.0.0  good, runs now\n"
        "B  -         not bootable: empty, or being written\n"
        "\n"
        "next boot: slot A, the only one that is good"
    )


def test_an_update_that_waits_for_its_reboot() -> None:
    assert said(OLD, TRIAL, "a") == (
        "A  4891.0.0  good, runs now\n"
        "B  4892.0.0  to be tried: 3 tries\n"
        "\n"
        "next boot: slot B, as a try: it has 3 tries to come up and be committed"
    )


def test_a_trial() -> None:
    assert "B  4892.0.0  on trial: not committed yet, 2 tries left after this one, runs now" in said(
        OLD, UsrAttributes(2, 2), "b"
    )
    last = said(OLD, UsrAttributes(2, 0), "b")
    assert "no tries left after this one" in last
    assert "next boot: slot A, because slot B is on its last try, and not committed yet" in last


def test_both_are_good() -> None:
    assert said(OLD, NEW, "b").endswith("next boot: slot B, which has the higher priority")


def test_a_machine_that_fell_back_says_why() -> None:
    failure = Failure(
        "4892.0.0", "b", "the boot loader could not read its kernel", 1795000000, FailureKind.BOOT
    )
    assert said(OLD, EMPTY, "a", (failure,)) == (
        "A  4891.0.0  good, runs now\n"
        "B  4892.0.0  failed: the boot loader could not read its kernel\n"
        "\n"
        "next boot: slot A, the only one that is good\n"
        "\n"
        "failed here, and not tried again:\n"
        "  4892.0.0 in slot B, 2026-11-18 11:06 UTC: the boot loader could not read its kernel"
    )


def test_what_the_boot_loader_will_really_do_is_said() -> None:
    stale = said(OLD, NEW, "b", environment=BootEnvironment("a"))
    assert stale.endswith("next boot: slot A, because the boot loader does not know yet that slot B is due")
    assert "it then takes slot A" in said(OLD, NEW, "b", lost=True)
