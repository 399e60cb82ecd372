"""Finding which of many globs match a name, without trying all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from argosy.formats.requirements import compile_glob, literal_prefix


class PatternIndex:
    """Patterns, sorted by the characters that every match begins with."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._exact: set[str] = set()
        self._by_prefix: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
        for pattern in dict.fromkeys(patterns):
            prefix = literal_prefix(pattern)
            if prefix == pattern:
                self._exact.add(pattern)
            else:
                self._by_prefix.setdefault(prefix, []).append((pattern, compile_glob(pattern)))
        self._lengths = sorted({len(prefix) for prefix in self._by_prefix})

    def matching(self, name: str) -> tuple[str, ...]:
        """The patterns that match `name`, in a fixed order."""
        found = [name] if name in self._exact else []
        for length in self._lengths:
            if length > len(name):
                break
            candidates = self._by_prefix.get(name[:length], ())
            found += [pattern for pattern, glob in candidates if glob.match(name)]
        return tuple(found)
