"""The commands of the lab: clusters of local machines."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from argosy.base.cli import print_json
from argosy.base.errors import EXIT_FAILURE, InputError
from argosy.base.progress import Progress, Silent
from argosy.cli.columns import print_columns

if TYPE_CHECKING:
    from argosy.lab.cluster import Lab, UserData
    from argosy.lab.model import Machine, Site
    from argosy.lab.status import ClusterStatus

_DEFAULT_NAME = "argosy"
_FOLLOW_EVERY_S = 0.2

_UP = """\
Boot a cluster of local machines and wait until it is healthy. Without --release the newest release is
taken, and built first if it is missing. A cluster that exists is brought up again: same machines, same disks.
"""

_UP_EXAMPLES = """\
examples:
  argosy up                             three virtual machines: core-01, core-02, core-03
  argosy up --example hello             and a sample service on each
  argosy up -n 5 --driver nspawn --name five
                                        five containers beside them, in seconds; needs root
  argosy up --user-data my.yaml         with your own cloud-config; $private_ipv4 works in it
  argosy up --release 4891.0.0 --firmware uefi --memory 2048 --cpus 2
"""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this room's commands to the command `argosy`."""
    _add_up(commands)
    _add_status(commands)
    _add_into_machines(commands)
    _add_power(commands)


def _add_up(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    up = _command(commands, "up", "boot a cluster and wait until it is healthy", _up, _UP, _UP_EXAMPLES)
    up.add_argument("-n", dest="machines", type=int, metavar="N", help="number of machines (default: 3)")
    up.add_argument("--driver", choices=("qemu", "nspawn"), help="virtual machines (default) or containers")
    up.add_argument("--user-data", type=Path, metavar="FILE", help="a cloud-config or a script")
    up.add_argument("--release", metavar="V|DIR", help="a release's version or folder (default: the newest)")
    up.add_argument("--memory", type=int, metavar="MIB", help="memory of each machine (default: 1024)")
    up.add_argument("--cpus", type=int, metavar="N", help="processors of each machine (default: 1)")
    up.add_argument("--firmware", choices=("bios", "uefi"), help="what machines boot through (default: bios)")
    up.add_argument("--example", choices=("hello",), help="start a sample service")
    up.add_argument("--timeout", type=float, metavar="SECONDS", help="how long machines may take to join")


def _add_status(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    description = (
        "What runs, and how it is. The exit code is 0 if the cluster is healthy, else 1; with --json too."
    )
    examples = "examples:\n  argosy status\n  argosy status --json | jq .machines\n"
    status = _command(commands, "status", "what runs, and how it is", _status, description, examples)
    status.add_argument("--json", action="store_true", help="print it as JSON")
    listing = _command(commands, "list", "the clusters of this user", _list, named=False)
    listing.add_argument("--json", action="store_true", help="print them as JSON")


def _add_into_machines(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    examples = """\
examples:
  argosy ssh core-01                                       a shell
  argosy ssh core-02 -- etcdctl endpoint health --cluster  a command; its exit code is passed on
  argosy ssh core-01 -- 'journalctl -b | tail'             one word is a line for the machine's shell
"""
    ssh = _on_machine(commands, "ssh", "a shell or a command in a machine", _ssh, examples)
    ssh.add_argument("command", nargs="*", metavar="CMD", help="what to run, after `--`")
    examples = "examples:\n  argosy cp app.conf core-01:/tmp/\n  argosy cp core-01:/etc/os-release .\n"
    cp = _command(commands, "cp", "copy files to or from a machine", _cp, examples=examples)
    cp.add_argument("paths", nargs="+", metavar="SOURCE... TARGET", help="a path, or MACHINE:PATH")
    console = """\
Of a virtual machine this is the serial line: press Enter for a prompt, Ctrl-] leaves it. A container has
none: you get a shell of root; `exit`, or Ctrl-] three times, leaves it.
"""
    _on_machine(commands, "console", "a machine's console", _console, console)
    examples = """\
What the machine printed on its console, since it was made. Its journal: argosy ssh MACHINE -- journalctl

examples:
  argosy logs core-01
  argosy logs -f core-01      and what it prints from now on
"""
    logs = _on_machine(commands, "logs", "what a machine printed on its console", _logs, examples)
    logs.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    examples = "examples:\n  argosy load hello.tar\n"
    load = _command(commands, "load", "load a container image into every machine", _load, examples=examples)
    load.add_argument("archive", type=Path, metavar="OCI-ARCHIVE")


def _add_power(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    halt = "Shut down all machines cleanly. Disks stay; `argosy up` brings the same cluster back."
    _command(commands, "halt", "shut the machines down", _halt, halt)
    _on_machine(commands, "kill", "cut a machine's power", _kill)
    _on_machine(commands, "start", "power on a machine and wait for it", _start)
    destroy = "Remove a cluster and all that belongs to it: machines, disks, networks, its server."
    _command(commands, "destroy", "remove a cluster", _destroy, destroy)


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    handler: Callable[[argparse.Namespace], int],
    description: str | None = None,
    examples: str | None = None,
    *,
    named: bool = True,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=description or summary[0].upper() + summary[1:] + ".",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if named:
        parser.add_argument("--name", default=_DEFAULT_NAME, help="the cluster (default: %(default)s)")
    parser.set_defaults(handler=handler)
    return parser


def _on_machine(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    handler: Callable[[argparse.Namespace], int],
    examples: str | None = None,
) -> argparse.ArgumentParser:
    parser = _command(commands, name, summary, handler, examples=examples)
    parser.add_argument("machine", metavar="MACHINE", help="for example core-01")
    return parser


def _up(arguments: argparse.Namespace) -> int:
    from argosy.cli.progress import terminal_progress
    from argosy.lab import hello, wiring
    from argosy.lab.cluster import Request
    from argosy.lab.model import DriverName, Firmware

    request = Request(
        name=arguments.name,
        machines=arguments.machines,
        driver=DriverName(arguments.driver) if arguments.driver else None,
        release=arguments.release,
        firmware=Firmware(arguments.firmware) if arguments.firmware else None,
        memory_mib=arguments.memory,
        cpus=arguments.cpus,
        user_data=_read_user_data(arguments.user_data) if arguments.user_data else None,
        timeout_s=arguments.timeout,
    )
    with terminal_progress() as progress:
        lab = wiring.open_lab(progress)
        status = lab.up(request)
        if arguments.example:
            hello.start(lab, request.name, lambda: wiring.static_busybox(progress), progress)
            status = lab.status(request.name)
    site = lab.site(request.name)
    _print_table(site, status)
    _print_next(site, sample=bool(arguments.example))
    return 0


def _read_user_data(path: Path) -> UserData:
    from argosy.lab.cluster import UserData as Given

    try:
        return Given(path.read_bytes().decode(), str(path))
    except OSError as error:
        raise InputError(f"cannot read the user-data: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError("the user-data is not text (UTF-8)", where=str(path)) from error


def _status(arguments: argparse.Namespace) -> int:
    from argosy.cli.progress import terminal_progress

    with terminal_progress() as progress:
        lab = _lab(progress)
        site = lab.site(arguments.name)
        with progress.step(f"asking the machines of {arguments.name}"):
            status = lab.status(arguments.name)
    if arguments.json:
        print_json(status)
    else:
        _print_table(site, status)
    return 0 if status.healthy else EXIT_FAILURE


def _list(arguments: argparse.Namespace) -> int:
    from argosy.lab.wiring import open_store

    store = open_store()
    clusters = [store.existing(name).cluster for name in store.names()]
    if arguments.json:
        print_json(clusters)
        return 0
    rows = [(c.name, c.driver.value, c.release, str(len(c.machines))) for c in clusters]
    print_columns([("NAME", "DRIVER", "RELEASE", "MACHINES"), *rows])
    return 0


def _ssh(arguments: argparse.Namespace) -> int:
    from argosy.base.run import replace_process
    from argosy.lab import ssh

    site, machine = _machine_on(arguments)
    words = ssh.command(site, machine, arguments.command, tty=False)
    replace_process(words, env=ssh.environment(site, machine))


def _cp(arguments: argparse.Namespace) -> int:
    from argosy.base.run import replace_process
    from argosy.lab import ssh

    *sources, target = arguments.paths
    site = _lab().site(arguments.name)
    machines = {machine for path in arguments.paths if (machine := _machine_of(site, path))}
    if (
        not sources
        or len(machines) != 1
        or (any(_machine_of(site, s) for s in sources) and _machine_of(site, target))
    ):
        raise InputError("copy between this host and one machine", hint="argosy cp FILE core-01:/tmp/")
    [machine] = machines
    _require_on(site, machine)

    def place(path: str) -> str:
        return (
            ssh.remote_path(path.partition(":")[2]) if _machine_of(site, path) else str(Path(path).absolute())
        )

    words = ssh.copy_command(site, machine, [place(path) for path in sources], place(target))
    replace_process(words, env=ssh.environment(site, machine))


def _machine_of(site: Site, path: str) -> Machine | None:
    """The machine of MACHINE:PATH; None for a path of this host, which may hold a colon after a slash."""
    name, colon, _ = path.partition(":")
    if not colon or "/" in name:
        return None
    machine = site.machine(name)
    if machine is None:
        raise InputError(
            f"cluster {site.cluster.name!r} has no machine {name!r}", hint=f"for a file: ./{path}"
        )
    return machine


def _console(arguments: argparse.Namespace) -> int:
    site, machine = _machine_on(arguments)
    driver = _lab().driver(site)
    print(f"console of {machine.name}; {driver.leave_console} leaves it", file=sys.stderr)
    return driver.attach_console(site, machine)


def _logs(arguments: argparse.Namespace) -> int:
    site, machine = _lab().machine(arguments.name, arguments.machine)
    try:
        with site.console_log(machine).open("rb") as log:
            shutil.copyfileobj(log, sys.stdout.buffer)
            while arguments.follow:
                sys.stdout.flush()
                time.sleep(_FOLLOW_EVERY_S)
                shutil.copyfileobj(log, sys.stdout.buffer)
    except FileNotFoundError as error:
        raise InputError(f"{machine.name} was never on", hint="argosy up powers it on") from error
    return 0


def _load(arguments: argparse.Namespace) -> int:
    from argosy.cli.progress import terminal_progress

    with terminal_progress() as progress:
        _lab(progress).load(arguments.name, arguments.archive)
    return 0


def _halt(arguments: argparse.Namespace) -> int:
    from argosy.cli.progress import terminal_progress

    with terminal_progress() as progress:
        _lab(progress).halt(arguments.name)
    print(f"cluster {arguments.name} is off; its disks are kept (`{_program()} up` brings it back)")
    return 0


def _kill(arguments: argparse.Namespace) -> int:
    from argosy.cli.progress import terminal_progress

    with terminal_progress() as progress:
        _lab(progress).kill(arguments.name, arguments.machine)
    return 0


def _start(arguments: argparse.Namespace) -> int:
    from argosy.cli.progress import terminal_progress

    with terminal_progress() as progress:
        status = _lab(progress).start(arguments.name, arguments.machine)
    print(f"{status.name} is {status.state}, etcd {status.etcd}")
    return 0


def _destroy(arguments: argparse.Namespace) -> int:
    from argosy.cli.progress import terminal_progress

    with terminal_progress() as progress:
        was_there = _lab(progress).destroy(arguments.name)
    name = arguments.name
    print(f"cluster {name} is removed" if was_there else f"there is no cluster {name!r}: nothing to remove")
    return 0


def _lab(progress: Progress | None = None) -> Lab:
    from argosy.lab.wiring import open_lab

    return open_lab(progress or Silent())


def _machine_on(arguments: argparse.Namespace) -> tuple[Site, Machine]:
    site, machine = _lab().machine(arguments.name, arguments.machine)
    _require_on(site, machine)
    return site, machine


def _require_on(site: Site, machine: Machine) -> None:
    if machine.name not in _lab().driver(site).running(site):
        raise InputError(f"{machine.name} is off", hint=f"argosy start {machine.name}")


def _print_table(site: Site, status: ClusterStatus) -> None:
    head = ("MACHINE", "STATE", "IP", "SSH PORT", "SERVICE PORT", "VERSION", "SLOT", "ETCD", "UNITS")
    rows = [
        (
            line.name,
            line.state,
            line.ip,
            str(line.ssh_port),
            str(machine.service_port),
            line.version or "-",
            line.slot or "-",
            line.etcd or "-",
            ", ".join(f"{unit.name} ({unit.active})" for unit in line.units) or "-",
        )
        for line, machine in zip(status.machines, site.cluster.machines, strict=True)
    ]
    health = "healthy" if status.healthy else "not healthy"
    print(f"cluster {status.name} ({status.driver}, release {status.release}) is {health}")
    print()
    print_columns([head, *rows])


def _print_next(site: Site, *, sample: bool) -> None:
    name = site.cluster.name
    option = "" if name == _DEFAULT_NAME else f" --name {name}"
    first, last = site.cluster.machines[0], site.cluster.machines[-1]
    program = _program()
    lines = [
        f"{program} ssh{option} {first.name} -- fleetctl list-machines",
        f"{program} ssh{option} {last.name} -- etcdctl endpoint health --cluster",
        *([f"curl http://127.0.0.1:{last.service_port}/"] if sample else []),
        f"{program} halt{option}; {program} up{option}",
        f"{program} destroy{option}",
    ]
    print("\nnext:")
    for line in lines:
        print(f"  {line}")
    print(f"\nupdates of its machines: http://127.0.0.1:{site.cluster.server_port}/updates")


def _program() -> str:
    """How the user calls us: installed, or in a checkout."""
    return "argosy" if shutil.which("argosy") else "./argosy"
