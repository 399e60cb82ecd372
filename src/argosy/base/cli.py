"""What every command line of the project shares: parsers, errors, exit codes, shell completion.

A program builds an `argparse` parser with `program`, gives each subcommand a handler with
`parser.set_defaults(handler=...)`, and ends in `main`.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from argosy.base.errors import EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_USAGE, ArgosyError, describe

# Faults of the host that a user can mend, whatever we were doing.
_HOSTS_FAULTS = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES))

Handler = Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """Prints wrong usage as one line and a way to learn more, instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n  try `{self.prog} --help`\n")


def program(name: str, description: str, *, epilog: str | None = None) -> Parser:
    """A parser for a whole program: options are never abbreviated, text keeps its line breaks."""
    return Parser(
        prog=name,
        description=description,
        epilog=epilog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def main(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> int:
    """Parse, call the chosen handler, and turn what goes wrong into a plain message and an exit code."""
    _complete(parser)
    arguments = parser.parse_args(argv)
    handler: Handler | None = getattr(arguments, "handler", None)
    if handler is None:
        parser.print_help(sys.stderr)
        return EXIT_USAGE
    try:
        code = handler(arguments)
        sys.stdout.flush()
        return code
    except ArgosyError as error:
        print(describe(error, parser.prog), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has gone. Point stdout elsewhere, or the interpreter complains on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in _HOSTS_FAULTS:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"{parser.prog}: {where}{error.strerror}", file=sys.stderr)
        return EXIT_FAILURE


def print_json(value: Any) -> None:
    """Print what a script will read."""
    from argosy.base.decode import encode_json  # its library costs the programs of a boot time

    sys.stdout.write(encode_json(value, pretty=True).decode())


def _complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell's request for completions; argcomplete is only imported when a shell asks."""
    if "_ARGCOMPLETE" not in os.environ:
        return
    import argcomplete

    argcomplete.autocomplete(parser)
