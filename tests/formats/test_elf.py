"""What programs need, compared with what the host's dynamic loader says."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.formats.elf import ElfError, needs

PROGRAM = Path("/bin/ls")


def test_a_program_names_its_loader_and_libraries() -> None:
    found = needs(PROGRAM.read_bytes())
    assert found.interpreter == "/lib64/ld-linux-x86-64.so.2"
    listed = subprocess.run(["ldd", PROGRAM], check=True, capture_output=True, text=True).stdout
    assert "libc.so.6" in found.libraries
    assert all(library in listed for library in found.libraries)


def test_a_static_program_needs_nothing() -> None:
    found = needs(Path("/bin/busybox").read_bytes())
    assert (found.interpreter, found.libraries) == ("", ())


@given(st.integers(64, 4000), st.binary(min_size=1, max_size=40))
def test_a_damaged_file_is_refused_or_read_but_never_crashes(at: int, noise: bytes) -> None:
    data = PROGRAM.read_bytes()
    with contextlib.suppress(ElfError):
        needs(data[:at] + noise + data[at + len(noise) :])


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh", sys.executable.encode(), b"\x7fELF\x02\x01"])
def test_what_is_not_elf_is_refused(data: bytes) -> None:
    with pytest.raises(ElfError):
        needs(data)
