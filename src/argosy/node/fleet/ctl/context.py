"""What every command of fleetctl needs: the options, the connection, the machines."""

from __future__ import annotations

import argparse
import shlex
import socket
from collections.abc import Sequence
from pathlib import Path

from argosy.base.address import TlsFiles, parse_address
from argosy.base.errors import ArgosyError, InputError
from argosy.formats.fleet import UnitEntity
from argosy.formats.unit import UNIT_TYPES
from argosy.node.fleet.ctl import tables
from argosy.node.fleet.ctl.client import Connect, FleetClient, connector
from argosy.node.fleet.ctl.remote import Ssh

_MACHINE_ID = Path("/etc/machine-id")


class Context:
    """What every command needs: the parsed options and a connection that is made when needed."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.ssh = Ssh(
            arguments.ssh_username,
            arguments.tunnel,
            arguments.ssh_timeout,
            arguments.strict_host_key_checking,
            arguments.known_hosts_file,
        )
        # Through a tunnel the first answer waits for the SSH connection as well.
        patience_s = arguments.ssh_timeout if arguments.tunnel else 0.0
        timeout_s = arguments.request_timeout
        self.client = FleetClient(
            self._connect(), timeout_s=timeout_s, first_timeout_s=timeout_s + patience_s
        )
        self._addresses: dict[str, str] | None = None

    def addresses(self) -> dict[str, str]:
        """The address of each machine, asked for once."""
        if self._addresses is None:
            self._addresses = {machine.id: machine.primary_ip for machine in self.client.machines()}
        return self._addresses

    def legend(self, machine_id: str) -> str:
        """A machine as it is shown to people."""
        return tables.machine_legend(machine_id, self.addresses().get(machine_id, ""))

    def run_on(self, machine_id: str, words: Sequence[str]) -> int:
        """Run a command on a machine: here if it is this one, else over SSH."""
        from argosy.base.run import run

        local = not self.ssh.tunnel and _MACHINE_ID.exists() and _MACHINE_ID.read_text().strip() == machine_id
        if not local:
            # The remote side's shell takes the words apart again.
            remote = [shlex.join(words)]
            words = self.ssh.command(self.address(machine_id), remote, port=self.arguments.ssh_port)
        return run(words, check=False, capture=False).returncode

    def address(self, machine_id: str) -> str:
        """Where a machine is reached."""
        address = self.addresses().get(machine_id)
        if not address:
            raise ArgosyError(f"machine {machine_id} is away, or has no address")
        return address

    def _connect(self) -> Connect:
        arguments = self.arguments
        if arguments.driver.lower() != "api":
            raise InputError(
                "only --driver=API exists", hint="talk to any machine's fleetd, with --tunnel if need be"
            )
        address = parse_address(arguments.endpoint)
        if self.ssh.tunnel:
            if address.path is None:
                raise InputError("--tunnel needs an endpoint on a unix socket", hint="leave --endpoint out")
            words = self.ssh.forward(address.path)

            def through_tunnel() -> socket.socket:
                from argosy.base.run import start_connected

                return start_connected(words)

            return through_tunnel
        tls = TlsFiles(arguments.ca_file, arguments.cert_file, arguments.key_file)
        return connector(address, timeout_s=arguments.request_timeout, tls=tls)


def names(context: Context) -> list[str]:
    """The units that a command is about."""
    return [unit_name(argument) for argument in context.arguments.units]


def known_unit(context: Context, name: str) -> UnitEntity:
    """A unit that must exist."""
    unit = context.client.unit(name)
    if unit is None:
        raise ArgosyError(f"Unit {name} not found")
    return unit


def unit_name(argument: str) -> str:
    """The unit that an argument means: the last part of a path, a service unless it says otherwise."""
    name = argument.rpartition("/")[2]
    return name if name.rpartition(".")[2] in UNIT_TYPES else f"{name}.service"
