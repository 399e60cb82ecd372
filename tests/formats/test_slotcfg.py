"""A slot's boot configuration."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.base.errors import ArgosyError
from argosy.formats.slotcfg import (
    MAX_BYTES,
    SlotConfig,
    SlotConfigError,
    assignments,
    command_line,
    decode,
    encode,
    split_consoles,
)

CONFIG = SlotConfig(
    "ab" * 32, 8192, "cd" * 32, ("quiet", "panic=5"), "4892.0.1", ("console=tty0", "console=ttyS0,115200n8")
)
TEXT = f"""\
set slot_version="4892.0.1"
set slot_consoles="console=tty0 console=ttyS0,115200n8"
set slot_arguments="quiet panic=5"
set usrhash="{"ab" * 32}"
set usroffset="8192"
set usrsalt="{"cd" * 32}"
set slot_end="yes"
"""

WORDS = st.from_regex(r"[!#%&(-\[\]^_a-~]{1,20}", fullmatch=True)


def test_the_file_as_grub_reads_it() -> None:
    assert encode(CONFIG).decode() == TEXT
    assert decode(TEXT.encode()) == CONFIG


@given(
    st.lists(WORDS, max_size=20),
    st.lists(WORDS.map("console={}".format), max_size=3),
    st.integers(1, 1 << 40),
)
def test_what_is_written_is_read(arguments: list[str], consoles: list[str], blocks: int) -> None:
    config = SlotConfig("ab" * 32, blocks * 4096, "00", tuple(arguments), "1.2.3", tuple(consoles))
    data = encode(config)
    assert len(data) <= MAX_BYTES
    assert decode(data) == config


@given(st.integers(0, len(TEXT) - 2))
def test_a_part_of_the_file_is_refused(length: int) -> None:
    with pytest.raises(SlotConfigError):
        decode(TEXT.encode()[:length])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("8192", "8193"),
        ("8192", "0"),
        ("8192", "many"),
        ("ab" * 32, "ab" * 31),
        ("ab" * 32, "AB" * 32),
        ("cd" * 32, ""),
        ("cd" * 32, "c"),
        ("4892.0.1", "latest"),
        ("quiet", "$(reboot)"),
        ("quiet", 'a" b="c'),
        ("quiet", "\\n"),
        ("console=tty0", "init=/bin/sh"),
        ('set slot_end="yes"', "halt"),
        ('set slot_end="yes"', 'set slot_end="no"'),
        ("quiet", "q" * 1100),
        ("quiet", "\n" * 5000),
        ("quiet", "\u00fc"),
    ],
)
def test_what_is_not_sound_is_refused(old: str, new: str) -> None:
    with pytest.raises(ArgosyError):
        decode(TEXT.replace(old, new).encode())


@pytest.mark.parametrize("word", ["a b", "", 'dyndbg="x"', "a'b", "$x", "a\\b", "a\nb", "`a`", "\u00e4"])
def test_an_argument_that_grub_could_not_hand_on_is_refused(word: str) -> None:
    with pytest.raises(SlotConfigError, match="cannot be a kernel argument"):
        encode(replace(CONFIG, arguments=(word,)))


def test_consoles_are_set_apart() -> None:
    assert split_consoles(("console=tty0", "quiet", "console=ttyS0")) == (
        ("console=tty0", "console=ttyS0"),
        ("quiet",),
    )


def test_an_oems_settings() -> None:
    oem = b"""\
# OEM settings
set oem_id="digitalocean"
set linux_append=coreos.autologin
   set linux_append="$linux_append  quiet=${oem_id}$nothing"
set linux_console="console=ttyS1"
"""
    assert assignments(oem) == {
        "oem_id": "digitalocean",
        "linux_append": "coreos.autologin  quiet=digitalocean",
        "linux_console": "console=ttyS1",
    }


@pytest.mark.parametrize(
    "line", ["serial --unit=1", "if true; then", 'set a="b"; halt', "set a=$b", "set a='b'", "a=b"]
)
def test_a_script_that_does_more_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(SlotConfigError, match="line 2 "):
        assignments(b"# first\n" + line.encode())


@pytest.mark.parametrize(
    ("slot", "trial", "consoles", "append", "expected"),
    [
        (
            "a",
            False,
            None,
            "",
            "console=tty0 console=ttyS0,115200n8 rw root=LABEL=ROOT"
            " usr=PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132 HASH argosy.slot=a quiet panic=5",
        ),
        (
            "b",
            True,
            "console=hvc0",
            "a  b ",
            "console=hvc0 rw root=LABEL=ROOT"
            " usr=PARTUUID=e03dd35c-7c2d-4a47-b3fe-27f15780a57c HASH argosy.slot=b argosy.trial"
            " quiet panic=5 a b",
        ),
    ],
)
def test_the_kernels_command_line(
    slot: str, trial: bool, consoles: str | None, append: str, expected: str
) -> None:
    verity = f"verity.usrhash={'ab' * 32} verity.usroffset=8192 verity.usrsalt={'cd' * 32}"
    line = command_line(CONFIG, slot, trial=trial, consoles=consoles, append=append)
    assert line == expected.replace("HASH", verity)
