"""ssh into machines: the cluster's own key and known hosts, never the user's; one connection, shared.

Cryptography is chosen for processors that are emulated: curve25519, ed25519 and chacha20 need no special
instructions.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from argosy.base.run import run
from argosy.lab import process
from argosy.lab.model import Machine, Site

USER = "core"
# Lines of tmpfiles.d(5), for systemd-tmpfiles(8).
TMPFILES_CREDENTIAL = "tmpfiles.extra"
_KEEP_S = 600
EXIT_NO_CONNECTION = 255
# How long a connection waits for sshd to speak. QEMU's forwarder accepts at once and knocks on the machine
# after 0, 3 and 9 s. Many short tries would only fill sshd's queue.
_CONNECT_TIMEOUT_S = 15


def private_key(site: Site) -> Path:
    """The key that opens all machines of the cluster."""
    return site.folder / "ssh" / "key"


def public_key(site: Site) -> str:
    """The line for authorized_keys."""
    return private_key(site).with_suffix(".pub").read_text().strip()


def make_key(site: Site) -> None:
    """Make the cluster's key, unless it is there."""
    key = private_key(site)
    if key.with_suffix(".pub").exists():
        return
    key.parent.mkdir(mode=0o700, exist_ok=True)
    key.unlink(missing_ok=True)  # ssh-keygen, interrupted between its two files
    comment = f"argosy-{site.cluster.name}"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", key])


def lenience(source: str) -> dict[str, bytes]:
    """The credential that makes sshd in machines forgive `source`, the address from which the host comes.

    sshd shuts out an address that often hangs up or offers wrong keys (PerSourcePenalties, OpenSSH 9.8). Here
    all of the host's programs share one address. systemd-tmpfiles writes what the credential says at boot.
    The second form is how sshd sees IPv4 on the socket that systemd opens for both.
    """
    file = "/etc/ssh/sshd_config.d/10-lab.conf"
    line = f"f+ {file} 0644 root root - PerSourcePenaltyExemptList {source},::ffff:{source}\n"
    return {TMPFILES_CREDENTIAL: line.encode()}


def options(site: Site, machine: Machine) -> list[str]:
    """What ssh and scp have in common."""
    settings = {
        "User": USER,
        "IdentityFile": _quoted(private_key(site)),
        "IdentitiesOnly": "yes",
        "PasswordAuthentication": "no",
        # The port on loopback leads into the machine's own process, so its host key would prove nothing more;
        # and a factory reset changes it.
        "UserKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "no",
        "HostKeyAlgorithms": "ssh-ed25519",
        "KexAlgorithms": "curve25519-sha256",
        "Ciphers": "chacha20-poly1305@openssh.com",
        "ControlMaster": "auto",
        "ControlPath": _quoted(_control_path(site, machine)),
        "ControlPersist": str(_KEEP_S),
        "ConnectTimeout": str(_CONNECT_TIMEOUT_S),
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "8",
        "LogLevel": "ERROR",
    }
    return ["-F", "none", *(f"-o{name}={value}" for name, value in settings.items())]


def command(site: Site, machine: Machine, words: Sequence[str] = (), *, tty: bool = False) -> list[str]:
    """ssh to the machine. Several `words` arrive as they are; a single one is a line for its shell."""
    line = words[0] if len(words) == 1 else shlex.join(words)
    terminal = ["-t"] if tty else []
    return [
        *("ssh", *options(site, machine), *terminal),
        *("-p", str(machine.ssh_port), "127.0.0.1"),
        *([line] if words else []),
    ]


def copy_command(site: Site, machine: Machine, sources: Sequence[str], target: str) -> list[str]:
    """scp with the machine; paths in it are written as `remote_path` does."""
    return ["scp", "-q", "-r", *options(site, machine), f"-P{machine.ssh_port}", "--", *sources, target]


def remote_path(path: str) -> str:
    """A path on the machine, as scp(1) takes it."""
    return f"127.0.0.1:{path}"


def environment(site: Site, machine: Machine) -> dict[str, str]:
    """Marks an ssh as the machine's."""
    return process.environment(site.cluster.id, _role(machine))


def close(site: Site, machine: Machine) -> None:
    """End all connections to a machine.

    The shared one is asked to: it writes its title over its environment, and with it our mark.
    """
    if _control_path(site, machine).exists():
        words = ["ssh", "-F", "none", f"-oControlPath={_quoted(_control_path(site, machine))}", "-O", "exit"]
        run([*words, "127.0.0.1"], check=False, timeout_s=_CONNECT_TIMEOUT_S)
    process.end(process.find_role(site.cluster.id, _role(machine)))


def _control_path(site: Site, machine: Machine) -> Path:
    return site.runtime / f"{machine.name}.ssh"


def _role(machine: Machine) -> str:
    return f"ssh/{machine.name}"


def _quoted(path: Path) -> str:
    """A path in an ssh option, where white space separates and `%` begins a token."""
    return '"' + str(path).replace("%", "%%") + '"'
