"""One boot of a machine: mounts what the machine needs, then becomes systemd-nspawn.

Run as `python -m argosy.lab.nspawn.launch FILE`, inside the cluster's network namespace and a mount namespace
of its own: the mounts are seen by this machine only, and end with its last process. Exits with 133 when the
machine wants to boot again, for what `command.power` says, which started it.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from argosy.base.decode import decode_json
from argosy.base.errors import ArgosyError, describe
from argosy.base.run import CommandError, replace_process, run
from argosy.lab.nspawn import cgroup
from argosy.lab.ssh import TMPFILES_CREDENTIAL

# nspawn keeps its locks and sockets here. A tmpfs of our own keeps them from the host, where they would stay.
_NSPAWN_RUNTIME = Path("/run/systemd/nspawn")
_MAKE_ROOT = "lib/argosy/make-root"
# podman gives each container a limit of processes, and crun refuses to start one where it cannot be set.
_NO_PIDS_LIMIT = (
    "f+ /etc/containers/containers.conf.d/50-no-pids-controller.conf 0644 root root - containers.pids_limit=0"
)


@dataclass(frozen=True, slots=True)
class Launch:
    """How a machine is started.

    `cgroups` are the folders of its control group, the unified one first; `veth` is the bridge's end of its
    network cable; `command` is the argv of systemd-nspawn, without the credential whose lines are `tmpfiles`.
    """

    usr_image: str
    root: str
    cgroups: tuple[str, ...]
    veth: str
    command: tuple[str, ...]
    tmpfiles: tuple[str, ...]


def launch(what: Launch) -> NoReturn:
    """Become the machine's supervisor; raises `ArgosyError` when something cannot be mounted."""
    folders = [Path(folder) for folder in what.cgroups]
    controllers = cgroup.settle(folders, supervisor=os.getppid(), machine=os.getpid())
    # The kernel takes the cable of a machine that was killed a moment ago away late.
    run(["ip", "link", "delete", "dev", what.veth], check=False)
    _NSPAWN_RUNTIME.mkdir(parents=True, exist_ok=True)
    run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", _NSPAWN_RUNTIME])
    _make_root(Path(what.usr_image), Path(what.root))
    tmpfiles = "\n".join([*what.tmpfiles, *([] if "pids" in controllers else [_NO_PIDS_LIMIT])])
    replace_process([*what.command, f"--set-credential={TMPFILES_CREDENTIAL}:{tmpfiles}"])


def _make_root(usr_image: Path, root: Path) -> None:
    """Mount the release's /usr, and let its own script make the rest of / as the initrd does."""
    usr = root / "usr"
    usr.mkdir(exist_ok=True)
    try:
        # Read-only mounts of one file share its loop device, and so memory, if they come one after another;
        # the device is cleared with the last.
        run(["flock", usr_image, "mount", "-t", "erofs", "-o", "ro,loop", usr_image, usr])
    except CommandError as error:
        hint = "the host's kernel needs EROFS and loop devices (`modprobe erofs loop`), or use --driver qemu"
        raise CommandError(str(error), completed=error.completed, hint=f"{error.hint}\n{hint}") from error
    run(["sh", usr / _MAKE_ROOT, root])


def main(argv: list[str]) -> NoReturn:
    """The process's own entry."""
    source = Path(argv[1])
    launch(decode_json(source.read_bytes(), Launch, source=str(source)))


if __name__ == "__main__":
    try:
        main(sys.argv)
    except ArgosyError as error:
        sys.exit(describe(error, "argosy"))
