"""The one way to report an error to a person.

An error that a user can act on is an `ArgosyError`: it says what is wrong, where, and what to do. Any other
exception is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

from dataclasses import dataclass

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Location:
    """A place in something that a user wrote. Lines and columns count from 1; 0 means unknown."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        parts = [self.source]
        if self.line:
            parts.append(str(self.line))
            if self.column:
                parts.append(str(self.column))
        return ":".join(parts)


class ArgosyError(Exception):
    """Something failed that the user can understand: `message` (what), `where`, `hint` (what to do now)."""

    exit_code = EXIT_FAILURE

    def __init__(self, message: str, *, where: Location | str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class InputError(ArgosyError):
    """What the user gave (a file, a flag, a value) is not valid."""

    exit_code = EXIT_USAGE


def describe(error: ArgosyError, program: str) -> str:
    """The text a person sees, for example `argosy: m.toml:3:1: unknown key "foo"` and an indented hint."""
    text = f"{program}: {error}"
    if error.hint:
        text += "\n" + "\n".join(f"  {line}" for line in error.hint.splitlines())
    return text
