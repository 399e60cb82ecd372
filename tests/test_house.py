"""The rules of the house that no linter knows. docs and CONTRIBUTING.md say them in words."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.formats.unit import parse_unit

REPOSITORY = Path(__file__).parents[1]
SOURCE = REPOSITORY / "src"
OS = REPOSITORY / "os"
STARTS_PROCESSES = SOURCE / "argosy/base/run.py"


def tracked_files() -> list[Path]:
    """What git has, as it is in the work tree. A file that is not there any more is left out."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, check=True, capture_output=True).stdout
    paths = [REPOSITORY / name for name in listed.decode().split("\0") if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


# Processes


class ProcessStarts(ast.NodeVisitor):
    """Finds what starts a process, by any of the ways of the standard library."""

    MODULES = frozenset({"subprocess", "pty", "multiprocessing", "_posixsubprocess"})
    CALLS = re.compile(
        r"os\.(system|popen|exec\w+|spawn\w+|posix_spawn\w*|fork\w*)|\w+\.create_subprocess_\w+"
    )

    def __init__(self) -> None:
        self.found: list[str] = []

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [alias.name for alias in node.names if alias.name.partition(".")[0] in self.MODULES]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if module.partition(".")[0] in self.MODULES:
            self.found.append(module)
        self.found += [
            f"{module}.{alias.name}" for alias in node.names if self.CALLS.fullmatch(f"{module}.{alias.name}")
        ]

    def visit_Attribute(self, node: ast.Attribute) -> None:
        text = ast.unparse(node)
        if self.CALLS.fullmatch(text):
            self.found.append(text)
        self.generic_visit(node)


def process_starts(text: str) -> list[str]:
    finder = ProcessStarts()
    finder.visit(ast.parse(text))
    return finder.found


def test_one_module_starts_processes() -> None:
    found = {name_of(path): process_starts(path.read_text()) for path in modules()}
    assert found.pop(name_of(STARTS_PROCESSES))
    assert {name: starts for name, starts in found.items() if starts} == {}


@pytest.mark.parametrize(
    "text",
    [
        "import subprocess",
        "from subprocess import run",
        "import os; os.system('x')",
        "from os import execv",
        "import asyncio\nasync def f(): await asyncio.create_subprocess_exec('x')",
        "from asyncio import create_subprocess_shell",
    ],
)
def test_every_way_to_start_a_process_is_found(text: str) -> None:
    assert process_starts(text)


# Names and texts


def test_no_module_is_called_by_a_name_that_says_nothing() -> None:
    empty = {"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"}
    assert [name_of(path) for path in modules() if {path.stem, path.parent.name} & empty] == []


# The backslashes keep this file from finding itself.
FORBIDDEN = {
    "a package registry or mirror": re.compile(
        r"pypi\.org|pythonhosted\.org|(deb|ftp|security|snapshot)(\.[a-z]+)*\.debian\.org|proxy\.golang\.org"
        r"|registry\.npmjs\.org|crates\.io|(docker|quay|ghcr|gcr)\.io\b"
    ),
    "a path of one machine": re.compile(
        r"/work/(main|shared)\b|/root/\.(cache|local|pyenv)|/home/(?!core\b|ann\b)\w+/"
    ),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names(what: str) -> None:
    found = []
    for path in tracked_files():
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if FORBIDDEN[what].search(line):
                found.append(f"{name_of(path)}:{number}: {line.strip()}")
    assert found == []


def public_definitions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name[0] != "_":
            yield node


def test_every_module_and_public_function_says_what_it_does() -> None:
    bare = [name_of(path) for path in modules() if ast.get_docstring(ast.parse(path.read_text())) is None]
    for path in modules():
        bare += [
            f"{name_of(path)}:{node.lineno}: {node.name}"
            for node in public_definitions(path)
            if not isinstance(node, ast.ClassDef) and ast.get_docstring(node) is None
        ]
    assert bare == []


# What goes into the image


def os_files(*suffixes: str) -> list[Path]:
    return sorted(path for path in OS.rglob("*") if path.is_file() and path.suffix in suffixes)


UNITS = os_files(
    ".service", ".socket", ".target", ".timer", ".mount", ".automount", ".path", ".slice", ".conf"
)
SECTIONS = {
    ".service": {"Service"},
    ".socket": {"Socket"},
    ".timer": {"Timer"},
    ".mount": {"Mount"},
    ".automount": {"Automount"},
    ".path": {"Path"},
    ".slice": {"Slice"},
    ".target": set(),
}


@pytest.mark.parametrize("path", [p for p in UNITS if p.suffix in SECTIONS], ids=name_of)
def test_units_are_well_formed(path: Path) -> None:
    unit = parse_unit(path.read_text(), source=name_of(path))
    sections = {option.section for option in unit.options}
    assert sections <= {"Unit", "Install"} | SECTIONS[path.suffix]
    assert any((option.section, option.name) == ("Unit", "Description") for option in unit.options)


@pytest.mark.parametrize("path", [p for p in os_files(".service") if "systemd/system" in str(p)], ids=name_of)
def test_our_own_programs_are_there(path: Path) -> None:
    """A unit runs only those scripts of ours that exist. Debian's programs are seen in the built image."""
    for option in parse_unit(path.read_text(), source=name_of(path)).options:
        if not option.name.startswith("Exec"):
            continue
        program = option.value.split()[0].lstrip("-@:+!|")
        if program.startswith("/usr/lib/argosy/"):
            assert (OS / program.lstrip("/")).is_file(), program


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """systemd's own check. Words that this host's systemd or packages do not have are no defects of ours."""
    for path in (OS / "usr/lib/systemd/system").iterdir():
        if path.is_file() and path.suffix in SECTIONS:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    names = [path.name for path in tmp_path.iterdir()]
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *names]
    environment = {"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if any(name in line for name in names)]
    harmless = re.compile(r"is not executable|Unit \S+ not found|Unknown key (name )?'ImportCredential'")
    assert [line for line in ours if not harmless.search(line)] == []


SCRIPTS = sorted(path for path in (OS / "usr/bin").glob("*") if not path.is_symlink())


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_scripts_are_programs(path: Path) -> None:
    assert path.stat().st_mode & 0o111 == 0o111
    first, rest = path.read_text().split("\n", 1)
    assert first in ("#!/bin/sh", "#!/usr/bin/python3 -I")
    if first.endswith("python3 -I"):
        imports = [node for node in ast.parse(rest).body if isinstance(node, ast.ImportFrom)]
        assert imports, "a script imports its main"
        for node in imports:
            assert_defined(str(node.module), [alias.name for alias in node.names])


def assert_defined(module: str, names: list[str]) -> None:
    assert module.split(".")[1] in ("base", "formats", "node"), f"{module} does not ship in the image"
    path = SOURCE / (module.replace(".", "/") + ".py")
    assert path.is_file(), f"no module {module}"
    defined = {node.name for node in public_definitions(path)}
    assert set(names) <= defined, f"{module} lacks {set(names) - defined}"
