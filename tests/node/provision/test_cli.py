"""`coreos-cloudinit`: its flags and exit codes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.node.provision.cli import main


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The program sends its log to what is standard error now, which the next test has no more."""
    root = logging.getLogger()
    before = root.handlers[:]
    yield
    root.handlers[:] = before


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.yml"
    path.write_text("#cloud-config\nhostname: a\n")
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.yml"
    path.write_text("#cloud-config\nhostnam: a\nusers: 3\n")
    return path


@pytest.mark.parametrize(
    "form", ["-validate -from-file={}", "--validate --from-file {}", "-validate=true -from-file {}"]
)
def test_validate_prints_every_finding(
    form: str, good: Path, bad: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(form.format(good).split()) == 0
    assert main(form.format(bad).split()) == 1
    assert capsys.readouterr().err == (
        'line 2: warning: unrecognized key "hostnam"\n'
        'line 3: warning: incorrect type for "users" (want []struct)\n'
    )


def test_no_source_and_missing_files_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "--from-credentials" in capsys.readouterr().err
    assert main(["-validate", "-from-file", str(tmp_path / "missing")]) == 2
    assert "missing: cannot be read: No such file or directory" in capsys.readouterr().err


def test_the_version_has_the_originals_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-version"]) == 0
    assert capsys.readouterr().out.startswith("coreos-cloudinit ")


def test_unknown_flags_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["-from-carrier-pigeon"])
    assert caught.value.code == 2
