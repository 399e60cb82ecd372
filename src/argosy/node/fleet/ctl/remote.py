"""How fleetctl reaches other machines: through the system's `ssh`, with the original's options."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from argosy.base.errors import ArgosyError

_DEFAULT_PORT = 22


@dataclass(frozen=True, slots=True)
class Ssh:
    """Settings of connections. `tunnel` is HOST[:PORT] through which all others are reached, or empty."""

    user: str = "core"
    tunnel: str = ""
    timeout_s: float = 10.0
    strict: bool = True
    known_hosts: Path = Path("~/.fleetctl/known_hosts")

    def command(
        self, host: str, words: Sequence[str] = (), *, port: int = _DEFAULT_PORT, forward_agent: bool = False
    ) -> list[str]:
        """The words that run `words` (or a shell) on `host`, through the tunnel if there is one."""
        options = self._options()
        if self.tunnel:
            name, tunnel_port = split_host(self.tunnel)
            jump = ["ssh", *options, "-p", str(tunnel_port), "-W", "%h:%p", f"{self.user}@{name}"]
            options = [*options, "-o", f"ProxyCommand={shlex.join(jump)}"]
        agent = ["-A"] if forward_agent else []
        return ["ssh", *options, *agent, "-p", str(port), f"{self.user}@{host}", *words]

    def forward(self, socket_path: str) -> list[str]:
        """The words that connect standard input and output with a unix socket on the tunnel's machine."""
        name, port = split_host(self.tunnel)
        remote = ["fleetctl", "fd-forward", socket_path]
        return ["ssh", *self._options(), "-T", "-p", str(port), f"{self.user}@{name}", *remote]

    def _options(self) -> list[str]:
        known_hosts = self.known_hosts.expanduser()
        if self.strict:
            known_hosts.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = {
            "ConnectTimeout": str(max(1, round(self.timeout_s))),
            "StrictHostKeyChecking": "ask" if self.strict else "no",
            "UserKnownHostsFile": str(known_hosts) if self.strict else "/dev/null",
            "LogLevel": "ERROR",
        }
        return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def split_host(text: str) -> tuple[str, int]:
    """Host and port from HOST, HOST:PORT or [IPV6]:PORT. Raises `ArgosyError`."""
    host, separator, port = text.rpartition(":")
    if not separator or (":" in host and not host.startswith("[")):
        return text.strip("[]"), _DEFAULT_PORT
    if not port.isdigit():
        raise ArgosyError(f"`{text}` is not HOST or HOST:PORT")
    return host.strip("[]"), int(port)


def forward_standard_streams(socket_path: str) -> int:
    """Connect standard input and output with a unix socket, until either side ends."""
    import os
    import select

    channel = socket.socket(socket.AF_UNIX)
    try:
        channel.connect(socket_path)
    except OSError as error:
        raise ArgosyError(f"cannot connect to {socket_path}: {error.strerror}") from error
    while True:
        readable, _, _ = select.select([0, channel.fileno()], [], [])
        if 0 in readable:
            data = os.read(0, 65536)
            if not data:
                return 0
            channel.sendall(data)
        if channel.fileno() in readable:
            data = channel.recv(65536)
            if not data:
                return 0
            while data:
                data = data[os.write(1, data) :]
