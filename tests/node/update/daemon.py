"""The real daemon, its real worker and client, on a private bus, against image files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.node.update.bench import Machine

BIN = Path(__file__).parents[3] / "os/usr/bin"
POLICY = Path(__file__).parents[3] / "os/usr/share/dbus-1/system.d/com.coreos.update1.conf"


@contextmanager
def bus(folder: Path) -> Iterator[str]:
    """A bus with the system bus's rules (nobody may do anything unless a policy says so) and our policy."""
    config = folder / "bus.conf"
    config.write_text(
        f"""<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={folder}/bus</listen>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <include>{POLICY}</include>
</busconfig>
"""
    )
    command = ["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--print-address"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@dataclass
class Daemon:
    """`update-engine` on a machine's files."""

    machine: Machine
    address: str
    process: subprocess.Popen[bytes] | None = None
    environment: Mapping[str, str] | None = None

    def start(self) -> None:
        machine = self.machine
        words = ["--disk", machine.disk, "--esp", machine.esp, "--running", "a", "--state", machine.state]
        words += ["--conf", machine.conf, "--keys", machine.keys, "--bus", self.address]
        log = (machine.folder / "engine.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-I", BIN / "update-engine", *words],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, **(self.environment or {})},
        )
        log.close()
        wait_for(lambda: self.client("-status").returncode == 0, self.log)

    def kill(self) -> None:
        """All of it, as a power cut would."""
        if self.process is not None:
            os.killpg(self.process.pid, 9)
            self.process.wait()
            self.process = None

    def client(self, *flags: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-I", BIN / "update_engine_client", *flags],
            env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.address},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def why(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.client("-why", "--json").stdout)
        return found

    def log(self) -> str:
        return (self.machine.folder / "engine.log").read_text()

    def rss_bytes(self) -> int:
        """The daemon's memory at its highest."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024


def wait_for(holds: Callable[[], bool], explain: Callable[[], str], timeout_s: float = 30) -> None:
    """Wait until something holds."""
    end_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end_s, explain()
        time.sleep(0.05)
