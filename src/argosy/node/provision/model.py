"""What the machine looks like, and what is to be done to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from argosy.formats.cloudconfig import User


@dataclass(frozen=True)
class Observed:
    """What a plan depends on. Texts of files are empty where the file is missing."""

    hostname: str = "localhost"
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    environment: str = ""
    update_conf: str = ""
    unit_files: frozenset[str] = frozenset()


@dataclass(frozen=True)
class SetHostname:
    """Name the machine, now and after a reboot."""

    name: str
    why: str


@dataclass(frozen=True)
class CreateUser:
    """Add a user; the password is set apart from it."""

    user: User
    why: str


@dataclass(frozen=True)
class SetPassword:
    """Set a user's password hash, which must appear in no log."""

    user: str
    password_hash: str = field(repr=False)
    why: str = ""


@dataclass(frozen=True)
class AuthorizeKeys:
    """Let the holders of `keys` in as `user`; replaces the keys that `name` stood for before."""

    user: str
    name: str
    keys: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class WriteFile:
    """Put `content` at `path`, an absolute path. `owner` is as in write_files."""

    path: str
    content: bytes = field(repr=False)
    why: str
    mode: int = 0o644
    owner: str = ""


@dataclass(frozen=True)
class MaskUnit:
    """Put a link to /dev/null at `path`."""

    path: str
    why: str


@dataclass(frozen=True)
class UnmaskUnit:
    """Remove what is at `path` if it masks the unit (an empty file or a link to /dev/null)."""

    path: str
    why: str


@dataclass(frozen=True)
class EnableUnits:
    """Enable units at every boot, or with `runtime` for this one."""

    units: tuple[str, ...]
    runtime: bool
    why: str


@dataclass(frozen=True)
class ReloadManager:
    """Have systemd read its unit files again, unless it sees what was written to all of `units` already.

    `units` are the names of units and the files that they must be read from (empty: whichever, drop-ins were
    written only). A reload is what costs most in a whole boot; a unit that systemd reads for the first time
    needs none.
    """

    units: tuple[tuple[str, str], ...]
    why: str


@dataclass(frozen=True)
class UnitCommand:
    """Ask systemd to `verb` (start, stop, restart...) units, without waiting for the result."""

    verb: str
    units: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class RunScript:
    """Run the script at `path` as a transient unit."""

    path: str
    unit: str
    why: str


Action = (
    SetHostname
    | CreateUser
    | SetPassword
    | AuthorizeKeys
    | WriteFile
    | MaskUnit
    | UnmaskUnit
    | EnableUnits
    | ReloadManager
    | UnitCommand
    | RunScript
)


def title(action: Action) -> str:
    """What an action does, in words for a log; shows no secret."""
    match action:
        case SetHostname(name=name):
            return f"set the host name to {name}"
        case CreateUser(user=user):
            return f"create user {user.name}"
        case SetPassword(user=name):
            return f"set the password of user {name}"
        case AuthorizeKeys(user=name, keys=keys):
            return f"authorise {len(keys)} ssh key{'s' if len(keys) != 1 else ''} for user {name}"
        case WriteFile(path=path):
            return f"write {path}"
        case MaskUnit(path=path):
            return f"mask {path}"
        case UnmaskUnit(path=path):
            return f"unmask {path}"
        case EnableUnits(units=units):
            return f"enable {' '.join(units)}"
        case ReloadManager():
            return "reload systemd's unit files"
        case UnitCommand(verb=verb, units=units):
            return f"{verb} {' '.join(units)}"
        case RunScript(path=path):
            return f"run {path}"
