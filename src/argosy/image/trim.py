"""Which paths leave the image: path patterns and their application to a tree."""

from __future__ import annotations

import re
from collections.abc import Iterable

from argosy.image.manifest import Trim
from argosy.image.tree import Tree

_TOKEN = re.compile(r"\*\*|\*|\?|\[[^\]]+\]|[{},]|[^*?\[{},]+")


def compile_patterns(patterns: Iterable[str]) -> re.Pattern[str]:
    """One expression for several patterns, matching a path or anything below it.

    `*` and `?` stay within a part of the path, `**` does not, `[...]` is a set, `{a,b}` are alternatives.
    """
    alternatives = "|".join(_expression(pattern) for pattern in patterns)
    return re.compile(rf"(?:{alternatives})(?:/.*)?") if alternatives else re.compile(r"(?!)")


def trim(tree: Tree, trims: Iterable[Trim]) -> Tree:
    """The tree without what the rules remove. A rule's `keep` holds against that rule only."""
    for rule in trims:
        goes, stays = compile_patterns(rule.paths), compile_patterns(rule.keep)
        tree = {
            path: entry for path, entry in tree.items() if not goes.fullmatch(path) or stays.fullmatch(path)
        }
    return tree


def _expression(pattern: str) -> str:
    parts = []
    depth = 0
    for token in _TOKEN.findall(pattern):
        if token == "{":
            depth += 1
        elif token == "}":
            depth -= 1
        parts.append(_translated(token, depth > 0))
    return "".join(parts)


def _translated(token: str, inside_braces: bool) -> str:
    fixed = {"**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")"}
    if token in fixed:
        return fixed[token]
    if token == ",":
        return "|" if inside_braces else ","
    if token.startswith("["):
        return "[" + token[1:-1].replace("\\", r"\\") + "]"
    return re.escape(token)
