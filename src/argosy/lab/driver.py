"""What the lab asks of a way to run machines (qemu, nspawn).

All methods may be repeated: what is already so is left alone. None prints. Those that take a machine may be
called for different machines from several threads at once. What fails in a way that a user can understand
raises `ArgosyError` with a hint.

Processes that outlive the command are started by `argosy.lab.process.spawn`, which marks them, so that a
later command finds them even if this one is killed in the next instruction. Nothing else records what runs.
"""

from __future__ import annotations

from typing import Protocol

from argosy.base.progress import Progress
from argosy.lab.model import Credentials, Machine, Site


class Driver(Protocol):
    """One way to run machines."""

    def check_host(self) -> None:
        """Raise `ArgosyError` if this host cannot run machines this way: a missing program, not root..."""

    @property
    def server_host(self) -> str:
        """The address under which machines reach a server that listens on the host's 127.0.0.1."""

    def prepare(self, site: Site, progress: Progress) -> None:
        """Take what machines need from `site.cluster.release_folder` into `site.folder`.

        Later changes of the release's folder must not reach the cluster. What is already taken stays.
        """

    def network_is_up(self, site: Site) -> bool:
        """Whether machines that run reach each other, and all that `start_network` starts still runs."""

    def start_network(self, site: Site) -> None:
        """Make the cluster's private network and what else machines share.

        Machines may run already (a process of the network died): what is missing is made, and they are back.
        """

    def stop_network(self, site: Site) -> None:
        """Undo `start_network`: afterwards no process, interface, namespace or mount of it is left."""

    def network_units(self, site: Site, machine: Machine) -> Credentials:
        """The credentials (`network.network.NN-name`: networkd files) that give the machine its addresses."""

    def create(self, site: Site, machine: Machine) -> None:
        """Make the machine's empty disk. Its folder exists. A half-made one is made anew."""

    def created(self, site: Site) -> frozenset[str]:
        """Names of the machines whose disk is whole."""

    def start(self, site: Site, machine: Machine) -> None:
        """Power on with the credentials in `site.credentials(machine)`; return when its process stands.

        Its console is appended to `site.console_log(machine)`. The two forwarded ports of `Machine` accept
        connections when the machine listens.
        """

    def running(self, site: Site) -> frozenset[str]:
        """Names of the machines that are powered on."""

    def halt(self, site: Site, machine: Machine) -> None:
        """Ask the machine to shut down cleanly; do not wait for it."""

    def kill(self, site: Site, machine: Machine) -> None:
        """Cut the power; return when nothing of the machine runs or is mounted any more."""

    def trouble(self, site: Site, machine: Machine) -> str | None:
        """What keeps a machine that is powered on from running (the host's disk is full...), if known."""

    def remove(self, site: Site, machine: Machine) -> None:
        """Remove the machine's folder. It does not run."""

    def clean(self, site: Site, progress: Progress) -> None:
        """The last act of destroying a cluster: undo what `prepare` did outside of plain files.

        Nothing runs. Afterwards `site.folder` is removed like any folder, so nothing may be mounted in it.
        """

    @property
    def leave_console(self) -> str:
        """What a user types to leave the console, in words."""

    def attach_console(self, site: Site, machine: Machine) -> int:
        """Join our terminal to the machine's console until the user leaves; returns an exit code."""
