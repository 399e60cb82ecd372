"""The edge: observes this Debian host and changes it."""

from __future__ import annotations

import os
import pwd
import re
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from argosy.base.errors import ArgosyError
from argosy.base.progress import Progress, Step
from argosy.base.run import CommandError, find_program, run, stream
from argosy.lab.host.apt import STAGES, parse_news
from argosy.lab.host.model import (
    Action,
    AddSubordinateIds,
    FinishInstallation,
    Host,
    Install,
    SubordinateRange,
    UpdateLists,
)

_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1", "LC_ALL": "C.UTF-8"}
# Another apt may be at work (unattended upgrades): wait for it rather than fail.
_APT = ("apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0")
_TAIL_LINES = 25
_PERMILLE = 1000


def observe(wanted: Sequence[str], *, for_user: str | None = None) -> Host:
    """This host, as far as it matters for `wanted`. Ids are looked up for `for_user`, or for ourselves."""
    release = read_os_release()
    account = pwd.getpwnam(for_user) if for_user else pwd.getpwuid(os.getuid())
    is_debian = find_program("dpkg-query") is not None
    installed = _installed(wanted) if is_debian else frozenset()
    missing = [name for name in wanted if name not in installed]
    return Host(
        os_id=release.get("ID", ""),
        os_version=release.get("VERSION_ID", ""),
        os_name=release.get("PRETTY_NAME", ""),
        uid=account.pw_uid,
        user=account.pw_name,
        has_sudo=find_program("sudo") is not None,
        installed=installed,
        known=_known(missing) if missing and is_debian else frozenset(),
        is_dpkg_interrupted=_is_dpkg_interrupted(),
        subuids=subordinate_ranges("subuid"),
        subgids=subordinate_ranges("subgid"),
        kvm_refused=Path("/dev/kvm").exists() and not os.access("/dev/kvm", os.R_OK | os.W_OK),
    )


def read_os_release() -> dict[str, str]:
    """The fields of os-release(5), without quotes; empty if the host has no such file."""
    for path in (Path("/etc/os-release"), Path("/usr/lib/os-release")):
        if path.exists():
            pairs = re.findall(r"^([A-Z_]+)=[\"']?(.*?)[\"']?$", path.read_text(), re.MULTILINE)
            return dict(pairs)
    return {}


def perform(action: Action, progress: Progress) -> None:
    """Do one action, as root. Raises `ArgosyError` with what the failing program printed."""
    match action:
        case FinishInstallation():
            with progress.step("finish the interrupted installation") as step:
                _stream(("dpkg", "--configure", "-a"), step.note)
        case UpdateLists():
            with progress.step("fetch the lists of packages") as step:
                _stream((*_APT, "update"), step.note)
        case Install(packages):
            with progress.step(f"install Debian packages ({len(packages)})", total=_PERMILLE) as step:
                _install(packages, step)
        case AddSubordinateIds(user, kind, start, count):
            with progress.step(f"give {user} ids for namespaces (/etc/{kind})"):
                _add_subordinate_ids(user, kind, start, count)


def _install(packages: Sequence[str], step: Step) -> None:
    try:
        _stream((*_APT, "install", "-y", "--no-install-recommends", *packages), _apt_listener(step))
    except CommandError as error:
        # Lists that are out of date name files that the archive no longer has.
        if not re.search(r"404|Unable to fetch|Failed to fetch", error.hint or ""):
            raise
        step.note("fetch newer lists of packages, then try again")
        _stream((*_APT, "update"), lambda line: None)
        _stream((*_APT, "install", "-y", "--no-install-recommends", *packages), _apt_listener(step))


def _apt_listener(step: Step) -> Callable[[str], None]:
    """Shows what apt-get tells. Only apt knows how many packages come along, so the bar shows a share."""
    packages = events = shown = 0

    def listen(line: str) -> None:
        nonlocal packages, events, shown
        news = parse_news(line)
        if news is None:
            return
        if news.packages is not None:
            packages = news.packages
            return
        step.note(news.note)
        events += 1
        if packages:
            permille = min(_PERMILLE, events * _PERMILLE // (packages * STAGES))
            step.advance(permille - shown)
            shown = permille

    return listen


def _stream(argv: Sequence[str], on_line: Callable[[str], None]) -> None:
    """Run apt or dpkg; on failure its last lines are shown, without those on what went well."""
    tail: deque[str] = deque(maxlen=_TAIL_LINES)

    def listen(line: str) -> None:
        on_line(line)
        if line and parse_news(line) is None:
            tail.append(line)

    try:
        stream(argv, listen, env=_ENVIRONMENT)
    except CommandError as error:
        raise CommandError(error.message, completed=error.completed, hint="\n".join(tail)) from error


def _add_subordinate_ids(user: str, kind: str, start: int, count: int) -> None:
    Path(f"/etc/{kind}").touch(mode=0o644)  # without the file, usermod refuses
    run(("usermod", f"--add-{kind}s", f"{start}-{start + count - 1}", user))


def _installed(names: Sequence[str]) -> frozenset[str]:
    argv = ("dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\n", *names)
    lines = run(argv, check=False).text.splitlines()  # exits with 1 if it does not know a name
    return frozenset(line.removeprefix("installed ") for line in lines if line.startswith("installed "))


def _known(names: Sequence[str]) -> frozenset[str]:
    text = run(("apt-cache", "policy", *names), env={"LC_ALL": "C"}).text
    found = re.findall(r"^(\S+):\n(?: .*\n)*? +Candidate: (\S+)", text, re.MULTILINE)
    return frozenset(name for name, candidate in found if candidate != "(none)")


def _is_dpkg_interrupted() -> bool:
    """dpkg keeps numbered files here while it works; left-overs make every later apt-get fail."""
    updates = Path("/var/lib/dpkg/updates")
    return updates.is_dir() and any(entry.name.isdigit() for entry in updates.iterdir())


def subordinate_ranges(kind: str) -> tuple[SubordinateRange, ...]:
    """The lines of /etc/subuid or /etc/subgid; `kind` is the file's name."""
    path = Path("/etc", kind)
    if not path.exists():
        return ()
    try:
        fields = [line.split(":") for line in path.read_text().splitlines() if line.count(":") == 2]
        return tuple(SubordinateRange(owner, int(start), int(count)) for owner, start, count in fields)
    except ValueError as error:
        raise ArgosyError("a line is not name:start:count", where=str(path), hint="see subuid(5)") from error
