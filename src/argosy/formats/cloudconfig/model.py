"""What a cloud-config says, and what is wrong with it: frozen types."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from argosy.base.errors import InputError, Location


class Severity(enum.Enum):
    """How bad a finding is."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. `line` and `column` count from 1; 0 means unknown."""

    line: int
    severity: Severity
    message: str
    column: int = 0

    def __str__(self) -> str:
        return f"line {self.line}: {self.severity.value}: {self.message}"


@dataclass(frozen=True)
class Report:
    """All findings of one text, in the order of its lines. `source` names the text."""

    source: str
    findings: tuple[Finding, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What keeps the text from being applied."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)

    def raise_errors(self) -> None:
        """Raise `InputError` at the first error, with the others as its hint, if there are errors."""
        if not self.errors:
            return
        first, *others = self.errors
        raise InputError(
            first.message,
            where=Location(self.source, first.line, first.column),
            hint="\n".join(str(finding) for finding in others) or None,
        )


@dataclass(frozen=True)
class User:
    """One entry of `users`. `password_hash` is a crypt(5) hash; empty means none."""

    name: str = ""
    password_hash: str = ""
    ssh_authorized_keys: tuple[str, ...] = ()
    gecos: str = ""
    homedir: str = ""
    no_create_home: bool = False
    primary_group: str = ""
    groups: tuple[str, ...] = ()
    no_user_group: bool = False
    system: bool = False
    no_log_init: bool = False
    shell: str = ""


@dataclass(frozen=True)
class File:
    """One entry of `write_files`, decoded. `owner` is `user`, `user:group` or empty for root."""

    path: str
    content: bytes = b""
    mode: int = 0o644
    owner: str = ""


@dataclass(frozen=True)
class DropIn:
    """A file `name` in the folder of drop-ins of a unit."""

    name: str
    content: str


@dataclass(frozen=True)
class Unit:
    """One entry of `coreos.units`. `command` is a verb of systemctl or empty."""

    name: str
    content: str = ""
    drop_ins: tuple[DropIn, ...] = ()
    mask: bool = False
    enable: bool = False
    runtime: bool = False
    command: str = ""


Variables = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class CloudConfig:
    """A whole cloud-config. Sections of options are environment variables with their values, in order."""

    hostname: str = ""
    ssh_authorized_keys: tuple[str, ...] = ()
    users: tuple[User, ...] = ()
    write_files: tuple[File, ...] = ()
    manage_etc_hosts: str = ""
    units: tuple[Unit, ...] = ()
    etcd: Variables = ()
    etcd2: Variables = ()
    fleet: Variables = ()
    locksmith: Variables = ()
    flannel: Variables = ()
    update: Variables = ()
    oem: tuple[tuple[str, str], ...] = ()
