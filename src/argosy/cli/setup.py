"""`argosy setup`: install what this host lacks."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from argosy.base.errors import EXIT_FAILURE, ArgosyError
from argosy.base.paths import shipped
from argosy.base.run import run
from argosy.lab.host import debian
from argosy.lab.host.model import (
    Action,
    AddSubordinateIds,
    FinishInstallation,
    Host,
    Install,
    Plan,
    Section,
    UpdateLists,
)
from argosy.lab.host.packages import parse_packages
from argosy.lab.host.plan import plan

_LIST = "packages/debian.txt"

_DESCRIPTION = f"""\
Install the Debian packages that building releases and running clusters needs ({_LIST}),
and give an ordinary user the ids that namespaces need. Works on Debian 12 and 13, as root or
with sudo. What is there already is left alone: a second run changes nothing.
"""

_EPILOG = """\
examples:
  argosy setup --check        say what is missing; exit code 1 if anything is
  argosy setup                install it, after a question
  argosy setup --tests --yes  what the tests need as well, without a question
"""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this room's commands to the command `argosy`."""
    parser = commands.add_parser(
        "setup",
        help="install what building and running needs",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--tests", action="store_true", help="also what the tests need")
    parser.add_argument("--check", action="store_true", help="only say what is missing")
    parser.add_argument("--yes", action="store_true", help="do not ask before a change")
    # How the command calls itself through sudo: the talking is done.
    parser.add_argument("--perform", action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(handler=_set_up)


def _set_up(arguments: argparse.Namespace) -> int:
    wanted = _wanted(tests=arguments.tests)
    host, todo = _look(wanted)
    if arguments.perform:
        _perform(todo)
        return 0
    for advice in todo.advice:
        print(f"note: {advice}", file=sys.stderr)
    if not todo.actions:
        print(f"nothing to do: this host has all {len(wanted)} packages")
        return 0
    print("to do on this host:")
    for action in todo.actions:
        print(f"  {_words(action)}")
    sys.stdout.flush()  # before the progress, also when both go to one file
    if arguments.check:
        return EXIT_FAILURE
    if not arguments.yes and not _agreed():
        raise ArgosyError("nothing was changed")
    if os.getuid() == 0:
        _perform(todo)
    else:
        _perform_with_sudo(host, wanted, arguments)
    _verify(wanted)
    print("this host is ready")
    return 0


def _wanted(*, tests: bool) -> Sequence[str]:
    path = shipped(_LIST)
    sections = parse_packages(path.read_text(), source=str(path))
    return (*sections[Section.RUN], *(sections[Section.TESTS] if tests else ()))


def _look(wanted: Sequence[str]) -> tuple[Host, Plan]:
    """Under sudo, the ids of the user who called it matter, not those of root."""
    caller = os.environ.get("SUDO_USER") if os.getuid() == 0 else None
    host = debian.observe(wanted, for_user=caller)
    return host, plan(host, wanted)


def _agreed() -> bool:
    if not sys.stdin.isatty():
        return True
    print("go ahead? [Y/n] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("", "y", "yes")


def _perform(todo: Plan) -> None:
    from argosy.cli.progress import terminal_progress

    with terminal_progress() as progress:
        for action in todo.actions:
            debian.perform(action, progress)


def _perform_with_sudo(host: Host, wanted: Sequence[str], arguments: argparse.Namespace) -> None:
    """Let this same command do the work as root; sudo asks for a password on our terminal if it needs one."""
    if not host.has_sudo:
        raise ArgosyError(
            "root is needed to change this host, and there is no sudo",
            hint="as root, run this command, or: apt-get install --no-install-recommends " + " ".join(wanted),
        )
    tests = ["--tests"] if arguments.tests else []
    # -B: root must not leave compiled files in the user's checkout.
    command = ["sudo", "--", sys.executable, "-B", "-m", "argosy", "setup", "--perform", *tests]
    if run(command, check=False, capture=False).returncode != 0:
        raise ArgosyError("the installation did not succeed", hint="see the lines above")


def _verify(wanted: Sequence[str]) -> None:
    _, left = _look(wanted)
    if left.actions:
        raise ArgosyError("still to do: " + "; ".join(_words(action) for action in left.actions))


def _words(action: Action) -> str:
    match action:
        case FinishInstallation(reason):
            return f"run dpkg --configure -a: {reason}"
        case UpdateLists(reason):
            return f"run apt-get update: {reason}"
        case Install(packages):
            return f"install {' '.join(packages)}"
        case AddSubordinateIds(user, kind, start, count):
            return f"add {user}:{start}:{count} to /etc/{kind}"
