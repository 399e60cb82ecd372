"""The edge: observes the machine under a root folder, and performs actions on it."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from argosy.base.errors import ArgosyError
from argosy.base.files import replace_file, sync_folder
from argosy.base.run import run
from argosy.formats.cloudconfig import User
from argosy.node.provision import accounts
from argosy.node.provision.model import (
    Action,
    AuthorizeKeys,
    CreateUser,
    EnableUnits,
    MaskUnit,
    Observed,
    ReloadManager,
    RunScript,
    SetHostname,
    SetPassword,
    UnitCommand,
    UnmaskUnit,
    WriteFile,
    title,
)
from argosy.node.provision.plan import ENVIRONMENT, LOCKSMITH, UPDATE_CONF, UPDATE_ENGINE
from argosy.node.provision.sshkeys import authorize_keys

Command = Callable[[Sequence[str], bytes | None], str]

_UNIT_FOLDERS = ("etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system")
_SHIPPED_UPDATE_CONF = "/usr/share/coreos/update.conf"

log = logging.getLogger(__name__)


def run_command(argv: Sequence[str], stdin: bytes | None) -> str:
    """Run a command and return what it printed; raises `CommandError` if it fails."""
    return run(argv, stdin=stdin).text


def set_hostname(name: str) -> None:
    """Set the running kernel's host name, if it is not that already."""
    if os.uname().nodename != name:
        import socket  # costs the boot time, which seldom needs it

        socket.sethostname(name)


@dataclass(frozen=True)
class Machine:
    """A machine: files under `root`, all else through the functions."""

    root: Path = Path("/")
    command: Command = run_command
    kernel_hostname: Callable[[], str] = lambda: os.uname().nodename
    set_kernel_hostname: Callable[[str], None] = set_hostname

    def observe(self) -> Observed:
        """What a plan needs to know."""
        candidates = {LOCKSMITH, UPDATE_ENGINE}
        return Observed(
            hostname=self.kernel_hostname(),
            users=frozenset(accounts.accounts(self.root)),
            groups=frozenset(accounts.groups(self.root)),
            environment=self.read(ENVIRONMENT),
            update_conf=self.read(UPDATE_CONF) or self.read(_SHIPPED_UPDATE_CONF),
            unit_files=frozenset(name for name in candidates if self._has_unit(name)),
        )

    def read(self, path: str) -> str:
        """The text of a file; empty if it is missing."""
        try:
            return self.at(path).read_text(errors="surrogateescape")
        except FileNotFoundError:
            return ""

    def at(self, path: str) -> Path:
        """Where an absolute path of the machine lies under its root."""
        return self.root / path.lstrip("/")

    def perform(self, actions: Sequence[Action]) -> None:
        """Perform actions in order.

        The first one that fails ends it, except that all units' commands are tried. Raises `ArgosyError` that
        names what failed.
        """
        failures = []
        for action in actions:
            level = logging.DEBUG if isinstance(action, UnmaskUnit) else logging.INFO
            log.log(level, "%s (%s)", title(action), action.why)
            try:
                self._perform(action)
            except (ArgosyError, OSError) as error:
                failure = _failure(action, error)
                if not isinstance(action, UnitCommand):
                    raise failure from error
                failures.append(failure)
        if failures:
            hints = [str(failure) for failure in failures[1:]] + [failures[0].hint or ""]
            raise ArgosyError(failures[0].message, hint="\n".join(filter(None, hints)) or None)

    def _perform(self, action: Action) -> None:
        match action:
            case SetHostname(name=name):
                self._write("/etc/hostname", f"{name}\n".encode())
                self.set_kernel_hostname(name)
            case CreateUser(user=user):
                self.command(useradd(user), None)
            case SetPassword(user=name, password_hash=password_hash):
                self.command(["chpasswd", "-e"], f"{name}:{password_hash}\n".encode())
            case AuthorizeKeys(user=name, name=keys_name, keys=keys):
                authorize_keys(self.root, accounts.account(self.root, name), keys_name, keys)
            case WriteFile(path=path, content=content, mode=mode, owner=owner):
                self._write(path, content, mode, owner)
            case MaskUnit(path=path):
                self._mask(self.at(path))
            case UnmaskUnit(path=path):
                self._unmask(self.at(path))
            case ReloadManager(units=units) if self._sees(units):
                log.info("no reload is needed: systemd sees these units as they are")
            case _:
                self.command(_systemd_command(action), None)

    def _write(self, path: str, content: bytes, mode: int = 0o644, owner: str = "") -> None:
        target = self.at(path)
        if target.is_dir() and not target.is_symlink():
            raise ArgosyError(f"{path} is a folder")
        ids = accounts.owner_ids(self.root, owner)
        if not _is_as_wanted(target, content, mode, ids or (os.geteuid(), os.getegid())):
            target.parent.mkdir(parents=True, exist_ok=True)
            replace_file(target, content, mode=mode, owner=ids)

    def _mask(self, path: Path) -> None:
        if path.is_symlink() and str(path.readlink()) == os.devnull:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.mask")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(os.devnull)
        temporary.replace(path)
        sync_folder(path.parent)

    def _unmask(self, path: Path) -> None:
        try:
            found = path.lstat()
        except FileNotFoundError:
            return
        link_to_nothing = stat.S_ISLNK(found.st_mode) and str(path.readlink()) == os.devnull
        if link_to_nothing or (stat.S_ISREG(found.st_mode) and found.st_size == 0):
            path.unlink()

    def _sees(self, units: Sequence[tuple[str, str]]) -> bool:
        """Whether systemd has (or now reads) these units as they are on disk, each from its file."""
        if any("@." in name for name, _ in units):
            return False  # a template is no unit itself; its instances may be loaded
        names = [name for name, _ in units]
        try:
            shown = self.command(
                ["systemctl", "show", "--property=FragmentPath,NeedDaemonReload", *names], None
            )
        except ArgosyError:
            return False
        blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.split("\n\n")]
        return len(blocks) == len(units) and all(
            block.get("NeedDaemonReload") == "no" and path in ("", block.get("FragmentPath"))
            for block, (_, path) in zip(blocks, units, strict=True)
        )

    def _has_unit(self, name: str) -> bool:
        return any((self.root / folder / name).exists() for folder in _UNIT_FOLDERS)


def _is_as_wanted(path: Path, content: bytes, mode: int, ids: tuple[int, int]) -> bool:
    """Whether a file is there already; rewritten, it would look changed to those who go by its time."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    same = stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) == mode
    return same and (found.st_uid, found.st_gid) == ids and path.read_bytes() == content


def useradd(user: User) -> list[str]:
    """The command that adds a user, without a password: that one is never put on a command line."""
    words = ["useradd", "--password", "*"]
    words += ["--comment", user.gecos] if user.gecos else []
    words += ["--home-dir", user.homedir] if user.homedir else []
    words += ["--no-create-home"] if user.no_create_home else ["--create-home"]
    words += ["--gid", user.primary_group] if user.primary_group else []
    words += ["--groups", ",".join(user.groups)] if user.groups else []
    words += ["--no-user-group"] if user.no_user_group else []
    words += ["--system"] if user.system else []
    words += ["--no-log-init"] if user.no_log_init else []
    words += ["--shell", user.shell] if user.shell else []
    return [*words, user.name]


def _systemd_command(action: Action) -> list[str]:
    match action:
        case EnableUnits(units=units, runtime=runtime):
            # Only links are made; told of them, systemd would want a reload before it trusts any unit again.
            return ["systemctl", "--root=/", "enable", "--force", *(["--runtime"] * runtime), *units]
        case ReloadManager():
            return ["systemctl", "daemon-reload"]
        case UnitCommand(verb=verb, units=units):
            # A job of the boot must not wait for another job: that one may be ordered after us.
            return ["systemctl", verb, "--no-block", *units]
        case RunScript(path=path, unit=unit):
            return ["systemd-run", "--quiet", "--no-block", "--collect", f"--unit={unit}", path]
        case _:
            raise AssertionError(action)


def _failure(action: Action, error: ArgosyError | OSError) -> ArgosyError:
    if isinstance(error, ArgosyError):
        return ArgosyError(f"cannot {title(action)}: {error}", hint=error.hint)
    return ArgosyError(f"cannot {title(action)}: {error.strerror}")
