"""The edge: the built-in probes, and the executables of the user's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from argosy.base.errors import ArgosyError
from argosy.base.run import run
from argosy.node.health.model import Result
from argosy.node.status.observe import Places, etcd_status
from argosy.node.updateconf import Settings

FOLDERS = (Path("/etc/argosy/health.d"), Path("/usr/share/oem/health.d"))
"""Where the user's probes are. Of two with the same name, the one in the first folder counts."""

_OURS = "/usr/lib/systemd/"
_ANSWER_TIMEOUT_S = 10
_GRACE_S = 5
_MAX_DETAIL = 200
# What timeout(1) exits with if it had to end, or to kill, the command.
_TIMED_OUT = (124, 137)


@dataclass(frozen=True, slots=True)
class Probe:
    """Something to ask; `ask` returns whether all is well, and what it found. It may raise `ArgosyError`."""

    name: str
    ask: Callable[[], tuple[bool, str]]

    def result(self) -> Result:
        """Ask. A probe that cannot be asked does not pass."""
        try:
            passed, detail = self.ask()
        except ArgosyError as error:
            passed, detail = False, f"{error} {error.hint or ''}".strip()
        return Result(self.name, passed, detail[:_MAX_DETAIL])


def probes(
    read: Callable[[], Settings], folders: Sequence[Path] = FOLDERS, etcd: Places | None = None
) -> list[Probe]:
    """All probes of this machine. `read` reads update.conf, and raises `ArgosyError` if it is not valid."""
    return [
        Probe("system", system),
        Probe("units", units),
        Probe("etcd", lambda: etcd_member(etcd or Places())),
        Probe("update-service", lambda: update_service(read())),
        *users(folders, lambda: read().health_probe_timeout_s),
    ]


def system() -> tuple[bool, str]:
    """The boot has reached its target."""
    state = _property("default.target", "ActiveState")
    return state == "active", "the default target is reached" if state == "active" else (
        f"the default target is {state}"
    )


def units() -> tuple[bool, str]:
    """No unit of the OS has failed: none whose file is part of the release."""
    listed = run(["systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--full"]).text
    failed = [line.split()[0] for line in listed.splitlines() if line.strip()]
    ours = [name for name in failed if _property(name, "FragmentPath").startswith(_OURS)]
    if ours:
        return False, f"failed: {', '.join(ours)}"
    return True, f"only units of yours have failed: {', '.join(failed)}" if failed else "no unit has failed"


def etcd_member(places: Places) -> tuple[bool, str]:
    """The machine's etcd member is healthy, if it has one."""
    state = etcd_status(_property("etcd-member.service", "ActiveState"), places)
    return state != "unhealthy", "this machine runs no etcd" if state == "off" else f"the member is {state}"


def update_service(settings: Settings) -> tuple[bool, str]:
    """The update service answers, whatever it answers; or none is wanted."""
    if not settings.server:
        return True, "no update service is wanted (SERVER)"
    quietly = ("--silent", "--show-error", "--output", "/dev/null", "--max-time", str(_ANSWER_TIMEOUT_S))
    asked = run(
        ["curl", *quietly, "--", settings.server],
        check=False,
        env={f"{scheme}_proxy": address for scheme, address in settings.proxies.items()},
    )
    if asked.returncode == 0:
        return True, f"{settings.server} answers"
    return False, f"{settings.server} does not answer: {asked.stderr.decode(errors='replace').strip()}"


def users(folders: Sequence[Path], timeout_s: Callable[[], float]) -> Iterator[Probe]:
    """The user's probes: every file in `folders` that is not hidden, in the order of the names."""
    found: dict[str, Path] = {}
    for folder in folders:
        if folder.is_dir():
            for path in folder.iterdir():
                if not path.name.startswith(".") and not path.name.endswith("~"):
                    found.setdefault(path.name, path)
    for name, path in sorted(found.items()):
        # A link to /dev/null switches off the probe of that name in a later folder, as in systemd.
        if path.resolve() != Path(os.devnull):
            yield Probe(name, lambda path=path: execute(path, timeout_s()))  # type: ignore[misc]


def execute(path: Path, timeout_s: float) -> tuple[bool, str]:
    """Run a user's probe: it passes if it exits with 0. Its last line is the detail.

    timeout(1) ends it with all its children, politely and then not.
    """
    if not os.access(path, os.X_OK):
        return False, f"{path} is not executable"
    bounded = ("timeout", f"--kill-after={_GRACE_S}", f"{timeout_s:g}")
    done = run([*bounded, path], check=False, timeout_s=timeout_s + 2 * _GRACE_S)
    said = (done.stdout + b"\n" + done.stderr).decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(said) if line.strip()), "")
    if done.returncode == 0:
        return True, last or "passes"
    if done.returncode in _TIMED_OUT:
        return False, f"{path} took longer than {timeout_s:g} s"
    return False, f"exit code {done.returncode}" + (f": {last}" if last else "")


def _property(unit: str, name: str) -> str:
    return run(["systemctl", "show", f"--property={name}", "--value", "--", unit]).text.strip()
