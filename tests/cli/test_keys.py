"""`argosy keys`, as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from argosy.base import cli
from argosy.cli.main import build_parser


def argosy_keys(folder: Path, *words: str) -> int:
    action, *rest = words
    return cli.main(build_parser(), ["keys", action, "--keys", str(folder), *rest])


def test_create_rotate_retire(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert argosy_keys(tmp_path / "keys", "list") == 0
    assert "the first build makes a development key" in capsys.readouterr().out
    assert argosy_keys(tmp_path / "keys", "create", "development") == 0
    assert "signs and is trusted: a development key" in capsys.readouterr().out
    assert argosy_keys(tmp_path / "keys", "rotate") == 0
    told = capsys.readouterr().out
    assert told.count("signs and is trusted") == 2
    assert "argosy keys retire development" in told
    assert argosy_keys(tmp_path / "keys", "retire", "development", "--json") == 0
    (key,) = json.loads(capsys.readouterr().out)["keys"]
    assert (key["name"], key["signs"], key["development"]) == ("release", True, False)


def test_nothing_secret_is_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for words in (["create"], ["rotate"], ["list"], ["list", "--json"], ["create"], ["retire", "release"]):
        argosy_keys(tmp_path, *words)
    shown = "".join(capfd.readouterr())
    files = [*tmp_path.glob("*.key"), *tmp_path.glob("retired/*.key")]
    assert len(files) == 2
    for file in files:
        secret = file.read_text().splitlines()[1]
        assert secret not in shown


def test_errors_name_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert argosy_keys(tmp_path, "rotate") == 2
    assert "argosy keys create" in capsys.readouterr().err
