"""Payloads made and checked: the same bytes, and every damage refused with its code."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from argosy.base.errors import InputError
from argosy.base.progress import Silent
from argosy.formats import payload as p
from argosy.formats.payload import Code, PayloadError
from argosy.formats.version import Version
from argosy.image import keys
from argosy.image.keys import Key, trusted_keys
from argosy.image.pack import Source
from argosy.image.payload import Info, check_payload, look, make_payload, read_part

INFO = Info(Version(4892, 1), "beta", "6.12.1-cloud-amd64", floor=Version(4800))


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> tuple[Key, ...]:
    return keys.ensure_keys(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Key, ...]:
    return (keys.create(tmp_path_factory.mktemp("theirs")),)


@pytest.fixture(scope="module")
def parts() -> dict[str, Source]:
    """/usr has three chunks: one that packs well, one that does not, and the start of a third."""
    noise = random.Random(1).randbytes(p.MAX_OPERATION_BYTES)
    usr = b"text " * (p.MAX_OPERATION_BYTES // 5) + b"." + noise + b"end"
    return {p.VMLINUZ: noise[:5000], p.INITRD: b"initrd" * 900, p.BOOT: b"set x=y\n", p.USR: usr}


@pytest.fixture
def payload(tmp_path: Path, parts: dict[str, Source], ours: tuple[Key, ...]) -> Path:
    make_payload(parts, INFO, ours, tmp_path / "update.payload", Silent())
    return tmp_path / "update.payload"


@pytest.fixture
def small(tmp_path: Path, ours: tuple[Key, ...]) -> Path:
    """A payload of a few kilobytes."""
    parts: dict[str, Source] = {name: name.encode() * 50 for name in p.PARTS}
    make_payload(parts, INFO, ours, tmp_path / "small.payload", Silent())
    return tmp_path / "small.payload"


def code(path: Path, trusted: Sequence[Key]) -> Code:
    with pytest.raises(PayloadError) as caught:
        check_payload(path, trusted_keys(trusted), Silent())
    assert caught.value.message
    return caught.value.code


def test_what_is_made_is_sound(payload: Path, ours: tuple[Key, ...], parts: dict[str, Source]) -> None:
    checked = check_payload(payload, trusted_keys(ours), Silent())
    manifest = checked.manifest
    assert (checked.key.name, checked.key.id) == ("development", ours[0].id)
    assert manifest.development
    assert (manifest.version, manifest.floor, manifest.channel) == ("4892.1.0", "4800.0.0", "beta")
    assert checked.size_bytes == payload.stat().st_size
    assert {name: read_part(payload, name) for name in p.PARTS} == parts
    operations = manifest.part(p.USR).operations
    assert [each.compression for each in operations] == [p.ZSTD, p.NONE, p.NONE]
    assert [each.target_bytes for each in operations] == [p.MAX_OPERATION_BYTES] * 2 + [3]
    assert [path.name for path in payload.parent.iterdir()] == ["update.payload"]


def test_the_same_parts_give_the_same_bytes(
    payload: Path, parts: dict[str, Source], ours: tuple[Key, ...], tmp_path: Path
) -> None:
    as_file = tmp_path / "usr.img"
    usr = parts[p.USR]
    assert isinstance(usr, bytes)
    as_file.write_bytes(usr)
    make_payload({**parts, p.USR: as_file}, INFO, ours, tmp_path / "again", Silent())
    assert (tmp_path / "again").read_bytes() == payload.read_bytes()


def test_a_flipped_bit_is_refused_wherever_it_is(small: Path, ours: tuple[Key, ...]) -> None:
    """One bit of each byte of header, signatures and data, and of every seventh byte of the manifest."""
    data = small.read_bytes()
    header, manifest = look(small)
    seen: dict[str, set[Code]] = {"header": set(), "manifest": set(), "signatures": set(), "data": set()}
    known = trusted_keys(ours)
    for at in range(len(data)):
        region = (
            "header" if at < p.HEADER_BYTES
            else "manifest" if at < header.signatures_at
            else "signatures" if at < header.data_at
            else "data"
        )  # fmt: skip
        if region == "manifest" and at % 7:  # each of these costs a call of openssl
            continue
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        small.write_bytes(damaged)
        with pytest.raises(PayloadError) as caught:
            check_payload(small, known, Silent())
        seen[region].add(caught.value.code)
    assert {Code.MAGIC, Code.FORMAT, Code.BOUNDS} <= seen["header"]
    assert {Code.MANIFEST, Code.WRONG_SIGNATURE} <= seen["manifest"]
    assert {Code.SIGNATURES, Code.WRONG_SIGNATURE} == seen["signatures"]
    assert seen["data"] == {Code.DATA_HASH}
    small.write_bytes(data)
    assert check_payload(small, known, Silent()).manifest == manifest


def test_every_length_but_the_right_one_is_refused(small: Path, ours: tuple[Key, ...]) -> None:
    data = small.read_bytes()
    header, _ = look(small)
    places = [*range(1, 40), header.signatures_at, header.data_at - 1, header.data_at, len(data) - 1]
    for length in places:
        small.write_bytes(data[:length])
        assert code(small, ours) is Code.TRUNCATED, length
    small.write_bytes(data + b"\0")
    assert code(small, ours) is Code.TOO_LONG
    small.write_bytes(b"")
    assert code(small, ours) is Code.MAGIC


def test_other_keys(
    payload: Path, parts: dict[str, Source], ours: tuple[Key, ...], theirs: tuple[Key, ...], tmp_path: Path
) -> None:
    assert code(payload, theirs) is Code.UNTRUSTED
    assert code(payload, ()) is Code.UNTRUSTED
    make_payload(parts, INFO, (), tmp_path / "unsigned", Silent())
    assert code(tmp_path / "unsigned", ours) is Code.UNSIGNED
    # Their key under our key's id.
    forged = replace(theirs[0], id=ours[0].id)
    make_payload(parts, INFO, (forged,), tmp_path / "forged", Silent())
    assert code(tmp_path / "forged", ours) is Code.WRONG_SIGNATURE


def test_while_keys_rotate_each_is_enough(
    tmp_path: Path, ours: tuple[Key, ...], theirs: tuple[Key, ...]
) -> None:
    parts: dict[str, Source] = {name: name.encode() for name in p.PARTS}
    make_payload(parts, INFO, (*ours, *theirs), tmp_path / "both", Silent())
    for trusted in (ours, theirs, (*theirs, *ours)):
        checked = check_payload(tmp_path / "both", trusted_keys(trusted), Silent())
        assert checked.key.id in {key.id for key in trusted}
    public_only = replace(theirs[0], private=None)
    make_payload(parts, INFO, (*ours, public_only), tmp_path / "one", Silent())
    assert [key.id for key in look(tmp_path / "one")[1].keys] == [ours[0].id]
    assert code(tmp_path / "one", theirs) is Code.UNTRUSTED


def test_swapped_data_are_refused(payload: Path, ours: tuple[Key, ...]) -> None:
    """Two chunks of the same length, each valid by itself, in each other's place."""
    header, manifest = look(payload)
    _, second, third = manifest.part(p.USR).operations
    data = bytearray(payload.read_bytes())
    at = header.data_at + second.data_offset
    data[at : at + 3], data[-3:] = data[-3:], data[at : at + 3]
    assert third.data_bytes == 3
    payload.write_bytes(data)
    assert code(payload, ours) is Code.DATA_HASH


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda parts: parts.pop(p.INITRD), Code.PARTS),
        (lambda parts: parts.update({p.INITRD: b""}), Code.PART_SIZE),
        (lambda parts: parts.update({p.BOOT: bytes(70_000)}), Code.PART_SIZE),
        (lambda parts: parts.update({"root": b"x"}), Code.PARTS),
    ],
)
def test_parts_that_no_payload_has(
    change: Callable[[dict[str, Source]], None], wanted: Code, tmp_path: Path, ours: tuple[Key, ...]
) -> None:
    parts: dict[str, Source] = {name: name.encode() for name in p.PARTS}
    change(parts)
    with pytest.raises(PayloadError) as caught:
        make_payload(parts, INFO, ours, tmp_path / "out", Silent())
    assert caught.value.code is wanted
    assert not list(tmp_path.iterdir())


def test_a_payload_replaces_another_whole(small: Path, ours: tuple[Key, ...]) -> None:
    before = small.read_bytes()
    with pytest.raises(PayloadError):
        make_payload({p.USR: b"x"}, INFO, ours, small, Silent())
    assert small.read_bytes() == before


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the update payload"):
        look(tmp_path / "missing")


def test_no_private_key_leaks(
    payload: Path, ours: tuple[Key, ...], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert ours[0].private is not None
    secret = ours[0].private.read_text().splitlines()[1]
    shutil.copy(ours[0].private, tmp_path / "broken.key")
    (tmp_path / "broken.key").write_text(f"-----BEGIN PRIVATE KEY-----\n{secret[:-4]}\n")
    broken = replace(ours[0], private=tmp_path / "broken.key")
    with pytest.raises(Exception, match="openssl") as caught:
        make_payload(dict.fromkeys(p.PARTS, b"x"), INFO, (broken,), tmp_path / "out", Silent())
    shown = f"{caught.value!r} {getattr(caught.value, 'hint', '')} {capfd.readouterr()} {ours[0]!r}"
    assert secret[:-4] not in shown
    assert secret.encode() not in payload.read_bytes()
