"""The folder of keys: made, rotated, retired, and never half-made or readable by others."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.base import ed25519
from argosy.base.errors import InputError
from argosy.base.files import LockedError, locked
from argosy.image import keys
from argosy.image.keys import Key


def names(folder: Path) -> list[str]:
    return [key.name for key in keys.load_keys(folder)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "settings" / "keys"


def test_no_folder_holds_no_keys(folder: Path) -> None:
    assert keys.load_keys(folder) == ()


def test_the_first_build_makes_a_development_key(folder: Path) -> None:
    (key,) = keys.ensure_keys(folder)
    assert key.name == "development" and key.label.development
    assert keys.ensure_keys(folder) == (key,)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "development.key").stat().st_mode & 0o777 == 0o600
    assert (folder / "development.pem").read_bytes() == key.public


def test_a_key_of_one_s_own_takes_the_place_of_a_development_key(folder: Path) -> None:
    made = keys.create(folder)
    assert made.name == "release" and not made.label.development
    assert keys.ensure_keys(folder) == (made,)


def test_a_rotation(folder: Path) -> None:
    old = keys.create(folder)
    new = keys.rotate(folder)
    assert new.name == "release-2" and new.id != old.id
    assert keys.load_keys(folder) == (old, new)
    assert keys.trusted_keys((old, new)) == {old.id: old.public, new.id: new.public}
    with pytest.raises(InputError, match="rotation is under way: release and release-2") as caught:
        keys.rotate(folder)
    assert "argosy keys retire release" in str(caught.value.hint)
    keys.retire(folder, "release")
    assert keys.load_keys(folder) == (new,)
    assert (folder / "retired/release.key").stat().st_mode & 0o777 == 0o600
    assert (folder / "retired/release.pem").read_bytes() == old.public
    assert keys.rotate(folder).name == "release-3"


def test_away_from_a_development_key(folder: Path) -> None:
    keys.ensure_keys(folder)
    keys.rotate(folder)
    assert names(folder) == ["development", "release"]
    keys.retire(folder, "development")
    assert names(folder) == ["release"]


def test_what_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="no key to rotate"):
        keys.rotate(folder)
    keys.create(folder)
    for refused, sentence in (
        (lambda: keys.create(folder), "there is a key already"),
        (lambda: keys.rotate(folder, "release"), "there is, or was, a key 'release'"),
        (lambda: keys.rotate(folder, "../x"), "not a key's name"),
        (lambda: keys.retire(folder, "release"), "only key that signs"),
        (lambda: keys.retire(folder, "other"), "no key 'other'"),
    ):
        with pytest.raises(InputError, match=sentence):
            refused()
    assert names(folder) == ["release"]


def test_a_retired_name_is_not_used_again(folder: Path) -> None:
    keys.create(folder)
    keys.rotate(folder, "second")
    keys.retire(folder, "release")
    with pytest.raises(InputError, match="there is, or was"):
        keys.rotate(folder, "release")


def test_a_public_key_alone_is_trusted_and_does_not_sign(folder: Path) -> None:
    old = keys.create(folder)
    keys.rotate(folder)
    (folder / "release.key").unlink()
    assert keys.load_keys(folder)[0] == Key("release", old.id, old.public, None)
    with pytest.raises(InputError, match="only key that signs"):
        keys.retire(folder, "release-2")
    keys.retire(folder, "release")
    assert names(folder) == ["release-2"]


def test_without_any_private_key_nothing_is_signed(folder: Path) -> None:
    keys.create(folder)
    (folder / "release.key").unlink()
    with pytest.raises(InputError, match="no private key"):
        keys.ensure_keys(folder)


def test_cut_short_after_any_step(folder: Path) -> None:
    """A private key without its public half is whole; a retirement that moved one half can be repeated."""
    key = keys.create(folder)
    (folder / "release.pem").unlink()
    assert keys.load_keys(folder) == (key,)
    new = keys.rotate(folder)
    (folder / "release.key").rename(folder / "release.moved")
    (folder / "release.pem").write_bytes(key.public)
    keys.retire(folder, "release")
    assert keys.load_keys(folder) == (new,)


def test_others_may_not_read_a_private_key(folder: Path) -> None:
    keys.create(folder)
    (folder / "release.key").chmod(0o640)
    with pytest.raises(InputError, match="other users may read") as caught:
        keys.load_keys(folder)
    assert "chmod 600" in str(caught.value.hint)


def test_halves_that_do_not_belong_together(folder: Path, tmp_path: Path) -> None:
    keys.create(folder)
    ed25519.create_key(tmp_path / "other.key")
    (folder / "release.pem").write_bytes(ed25519.public_key(tmp_path / "other.key"))
    with pytest.raises(InputError, match=r"release\.pem: this is not the public half of release\.key"):
        keys.load_keys(folder)
    (folder / "release.pem").write_text("nonsense")
    with pytest.raises(InputError, match=r"release\.pem: this is not an Ed25519 public key"):
        keys.load_keys(folder)


def test_two_at_once(folder: Path) -> None:
    keys.create(folder)
    with locked(folder / ".lock", busy="test"), pytest.raises(LockedError):
        keys.rotate(folder)
    assert names(folder) == ["release"]


def test_where_keys_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("ARGOSY_KEYS", raising=False)
    assert keys.keys_folder() == tmp_path / "argosy/keys"
    monkeypatch.setenv("ARGOSY_KEYS", "/elsewhere")
    assert keys.keys_folder() == Path("/elsewhere")
