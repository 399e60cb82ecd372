"""What the docs name exists: links, headings, paths, make targets; every `argosy ...` line in them parses."""

from __future__ import annotations

import argparse
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.cli.main import build_parser
from argosy.formats.cloudconfig import check_user_data

REPOSITORY = Path(__file__).parents[2]
DOCS = sorted(
    [
        *REPOSITORY.glob("*.md"),
        *(REPOSITORY / "docs").rglob("*.md"),
        *(REPOSITORY / "examples").rglob("*.md"),
    ]
)
TREES = ("src", "os", "docs", "tests", "examples", "packages", "bench", ".ci")
NAMES = [str(path.relative_to(REPOSITORY)) for path in DOCS]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def read(name: str) -> str:
    return (REPOSITORY / name).read_text()


def code_blocks(text: str) -> Iterator[tuple[str, str]]:
    """Blocks of code with their language; indented ones have none."""
    for match in FENCE.finditer(text):
        yield match[1], match[2]
    for match in re.finditer(r"(?:^    .*\n?|^\n)+", FENCE.sub("", text), re.MULTILINE):
        yield "", re.sub(r"^ {4,}", "", match[0], flags=re.MULTILINE)


def inline_code(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", text))


def headings(text: str) -> set[str]:
    """The anchors that a forge makes of headings."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", read(name))):
        if re.match(r"https?://|mailto:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (REPOSITORY / name).parent / file if file else REPOSITORY / name
        if not path.exists() or (anchor and anchor not in headings(path.read_text())):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("name", NAMES)
def test_paths_exist(name: str) -> None:
    words = [word for code in inline_code(read(name)) for word in code.split()]
    paths = [word for word in words if word.partition("/")[0] in TREES and "/" in word]
    assert [path for path in paths if not (REPOSITORY / path).exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_make_targets_exist(name: str) -> None:
    known = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    text = read(name)
    used = re.findall(r"^ +make ([a-z-]+)|`make ([a-z-]+)`", text, re.MULTILINE)
    assert {a or b for a, b in used} <= known


def commands(text: str) -> Iterator[str]:
    """Every whole `argosy ...` line: those in blocks, and those between backticks that have arguments."""
    for language, block in code_blocks(text):
        if language in ("", "sh", "console"):
            for line in block.splitlines():
                command = line.strip().removeprefix("$ ").removeprefix("sudo ")
                if re.match(r"(\./)?argosy\s", command):
                    yield command
    for code in inline_code(text):
        if re.match(r"(\./)?argosy\s+\S", code):
            yield code


def parses(command: str) -> bool:
    """A description after three or more blanks is not part of the command, as in the README's list."""
    words = shlex.split(re.split(r"\s{3,}", command)[0], comments=True)[1:]
    try:
        build_parser().parse_args(words)
    except SystemExit as end:
        return end.code == 0
    return True


@pytest.mark.parametrize("name", NAMES)
def test_commands_parse(name: str) -> None:
    found = [command for command in commands(read(name)) if command != "argosy ..."]
    assert [command for command in found if not parses(command)] == []


def test_wrong_commands_would_be_found() -> None:
    text = "    $ argosy up --no-such\n\n`argosy nonsense x` and `argosy` and\n\n    ./argosy status    how\n"
    found = list(commands(text))
    assert found == ["argosy up --no-such", "./argosy status    how", "argosy nonsense x"]
    assert [parses(command) for command in found] == [False, True, False]


def test_every_command_has_help_with_examples_and_is_in_the_docs() -> None:
    """A newcomer meets each command somewhere, and its own help shows how it is typed."""
    (actions,) = [a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    text = "\n".join(read(name) for name in NAMES)
    for command, parser in actions.choices.items():
        assert re.search(rf"argosy {command}\b", parser.format_help().partition("usage:")[2]), command
        assert parser.description, command
        assert re.search(rf"argosy {command}\b", text), f"no doc mentions argosy {command}"


@pytest.mark.parametrize("name", NAMES)
def test_examples_of_formats_are_valid(name: str) -> None:
    for language, block in code_blocks(read(name)):
        if language == "toml":
            tomllib.loads(block)
        if language == "yaml" and block.startswith("#cloud-config"):
            report = check_user_data(block.replace("AAAAC3Nza...", "AAAAC3NzaC1lZDI1NTE5"), source=name)
            assert [str(finding) for finding in report.findings] == []


def test_every_decision_is_in_the_index() -> None:
    index = read("docs/decisions/README.md")
    pages = {path.name for path in (REPOSITORY / "docs/decisions").glob("0*.md")}
    assert pages == set(re.findall(r"\((0\d+-[\w-]+\.md)\)", index))
    assert all(page in index for page in pages)


def test_every_howto_is_in_the_readme() -> None:
    readme = read("README.md")
    assert [
        p.name for p in (REPOSITORY / "docs/howto").glob("*.md") if f"docs/howto/{p.name}" not in readme
    ] == []
