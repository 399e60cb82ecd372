"""`argosy slots` and what systemd runs, where there are no slots."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.node.slots.disk import make_places

from argosy.base.errors import ArgosyError
from argosy.node.cli import main as argosy
from argosy.node.slots.cli import main
from argosy.node.slots.esp import mounted, write_environment
from argosy.node.slots.machine import project
from argosy.node.slots.store import Slots


@pytest.mark.parametrize("words", [[], ["nonsense"], ["reconcile", "return-try"]])
def test_systemd_s_words_are_checked(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "reconcile|return-try" in capsys.readouterr().err


def test_a_machine_without_slots_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert argosy(["slots"]) == 1
    said = capsys.readouterr()
    assert "no slots" in said.err
    assert said.out == ""


def test_a_partition_that_does_not_mount_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArgosyError, match="mount"), mounted(tmp_path / "no-device", tmp_path / "esp"):
        raise AssertionError("it is not mounted")


def test_a_folder_that_is_no_esp_gets_no_environment(tmp_path: Path) -> None:
    """/boot without its mount is a folder of ROOT, where GRUB never looks."""
    environment = project(Slots(make_places(tmp_path)).observe().bits)
    with pytest.raises(ArgosyError, match="not the EFI system partition"):
        write_environment(tmp_path, environment)
