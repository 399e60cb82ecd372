"""(cloud-config, metadata, what is there) -> the actions that bring the machine to what is asked, in order.

The order is coreos-cloudinit's: host name, users and their keys, core's keys, files, the environment, units
with drop-ins, masks and enablement, one reload, networkd, then the units' commands.
"""

from __future__ import annotations

import posixpath
import zlib
from collections.abc import Iterable, Iterator
from itertools import groupby

from argosy.base.errors import InputError
from argosy.formats.cloudconfig import CloudConfig, DropIn, File, Unit, Variables
from argosy.formats.metadata import Metadata
from argosy.node.provision import contents
from argosy.node.provision.model import (
    Action,
    AuthorizeKeys,
    CreateUser,
    EnableUnits,
    MaskUnit,
    Observed,
    ReloadManager,
    RunScript,
    SetHostname,
    SetPassword,
    UnitCommand,
    UnmaskUnit,
    WriteFile,
)

ENVIRONMENT = "/etc/environment"
UPDATE_CONF = "/etc/coreos/update.conf"
LOCKSMITH = "locksmithd.service"
UPDATE_ENGINE = "update-engine.service"

_NETWORK = (".network", ".netdev", ".link")


def plan(
    config: CloudConfig, metadata: Metadata, observed: Observed, *, keys_name: str = "coreos-cloudinit"
) -> tuple[Action, ...]:
    """All actions for one run. `keys_name` is the name under which ssh keys are kept.

    Raises `InputError` naming every owner of a file that would not exist.
    """
    _check_owners(config, observed)
    return (
        *_hostname(config, metadata),
        *_users(config, observed, keys_name),
        *_core_keys(config, metadata, keys_name),
        *_files(config, metadata, observed),
        *_units([*config.units, *_implicit_units(config, observed)]),
    )


def plan_script(script: str, workspace: str) -> tuple[Action, ...]:
    """The actions that run user-data that is a script (`#!`) in a unit of its own."""
    digest = f"{zlib.crc32(script.encode(errors='surrogateescape')):08x}"
    path, unit = f"{workspace}/scripts/{digest}", f"coreos-cloudinit-{digest}.service"
    why = "user-data is a script"
    return (
        WriteFile(path, script.encode(errors="surrogateescape"), why, mode=0o700),
        WriteFile(f"{workspace}/scripts/unit-name", unit.encode(), "it names the script's unit"),
        RunScript(path, unit, why),
    )


def _check_owners(config: CloudConfig, observed: Observed) -> None:
    made = {user.name for user in config.users if user.name}
    problems = []
    for file in config.write_files:
        user, _, group = file.owner.replace(".", ":", 1).partition(":")
        if user and not user.isdigit() and user not in observed.users | made:
            problems.append(f"{file.path}: there is no user {user!r}")
        if group and not group.isdigit() and group not in observed.groups | made:
            problems.append(f"{file.path}: there is no group {group!r}")
    if problems:
        raise InputError(problems[0], hint="\n".join(problems[1:]) or None)


def _hostname(config: CloudConfig, metadata: Metadata) -> Iterator[Action]:
    if config.hostname:
        yield SetHostname(config.hostname, "cloud-config names the host")
    elif metadata.hostname:
        yield SetHostname(metadata.hostname, "metadata names the host")


def _users(config: CloudConfig, observed: Observed, keys_name: str) -> Iterator[Action]:
    present = set(observed.users)
    for user in config.users:
        if not user.name:
            continue
        if user.name not in present:
            present.add(user.name)
            yield CreateUser(user, "cloud-config lists the user, who is new")
        if user.password_hash:
            yield SetPassword(user.name, user.password_hash, "cloud-config sets it")
        if user.ssh_authorized_keys:
            yield _authorize(user.name, keys_name, user.ssh_authorized_keys, "cloud-config lists them")


def _core_keys(config: CloudConfig, metadata: Metadata, keys_name: str) -> Iterator[Action]:
    keys = (*config.ssh_authorized_keys, *metadata.ssh_authorized_keys)
    if keys:
        yield _authorize("core", keys_name, keys, "cloud-config or metadata lists them")


def _authorize(user: str, name: str, keys: Iterable[str], why: str) -> AuthorizeKeys:
    return AuthorizeKeys(user, name, tuple(key.strip() for key in keys if key.strip()), why)


def _files(config: CloudConfig, metadata: Metadata, observed: Observed) -> Iterator[Action]:
    paths = {_absolute(file) for file in config.write_files}
    for file in config.write_files:
        yield WriteFile(_absolute(file), file.content, "write_files", file.mode, file.owner)
    if oem := contents.oem_release(config.oem):
        yield WriteFile("/etc/oem-release", oem.encode(), "coreos.oem")
    if config.update:
        text = contents.merge_lines(observed.update_conf, dict(config.update))
        yield WriteFile(UPDATE_CONF, text.encode(), "coreos.update")
    if config.manage_etc_hosts:
        name = config.hostname or metadata.hostname or observed.hostname
        yield WriteFile("/etc/hosts", contents.hosts(name).encode(), "manage_etc_hosts")
    if config.flannel:
        text = contents.environment_file(config.flannel)
        yield WriteFile("/run/flannel/options.env", text.encode(), "coreos.flannel")
    if ENVIRONMENT not in paths:
        yield from _environment(metadata, observed)


def _environment(metadata: Metadata, observed: Observed) -> Iterator[Action]:
    variables = {f"COREOS_{name.upper()}": value for name, value in metadata.addresses().items()}
    text = contents.merge_lines(observed.environment, variables)
    if variables and text != observed.environment:
        yield WriteFile(ENVIRONMENT, text.encode(), "the machine's addresses are known")


def _absolute(file: File) -> str:
    return posixpath.normpath("/" + file.path.lstrip("/"))


def _implicit_units(config: CloudConfig, observed: Observed) -> Iterator[Unit]:
    """The units that the sections of options stand for; what this release does not have is not restarted."""
    yield _configured("etcd.service", config.etcd)
    yield _configured("etcd2.service", config.etcd2)
    yield _configured("fleet.service", config.fleet)
    yield _configured(LOCKSMITH, config.locksmith)
    update = dict(config.update)
    if strategy := update.get("REBOOT_STRATEGY"):
        off = strategy == "off"
        command = "stop" if off else "restart"
        there = LOCKSMITH in observed.unit_files
        yield Unit(LOCKSMITH, runtime=True, mask=off, command=command if there else "")
    if ("GROUP" in update or "SERVER" in update) and UPDATE_ENGINE in observed.unit_files:
        yield Unit(UPDATE_ENGINE, command="restart")


def _configured(name: str, variables: Variables) -> Unit:
    return Unit(name, runtime=True, drop_ins=(DropIn("20-cloudinit.conf", contents.drop_in(variables)),))


def _units(units: list[Unit]) -> Iterator[Action]:
    named = [unit for unit in units if unit.name]
    # At boot its start may be due already: systemd calls that a failure once the unit is masked.
    if stopped := tuple(unit.name for unit in named if _ends_masked(unit)):
        yield UnitCommand("stop", stopped, "cloud-config masks it")
    written = [action for unit in named for action in _unit_files(unit)]
    yield from written
    for runtime, group in groupby((u for u in named if u.enable and not _is_network(u)), lambda u: u.runtime):
        yield EnableUnits(tuple(unit.name for unit in group), runtime, "coreos.units enables them")
    if touched := tuple((unit.name, _must_be_read_from(unit)) for unit in named if _is_touched(unit)):
        yield ReloadManager(touched, "unit files were written")
    if any(_is_network(unit) for unit in named):
        yield UnitCommand("restart", ("systemd-networkd.service",), "coreos.units configures the network")
    commanded = [u for u in named if u.command and not _is_network(u) and not _ends_masked(u)]
    for verb, group in groupby(commanded, lambda unit: unit.command):
        yield UnitCommand(
            verb, tuple(unit.name for unit in group), "coreos.units or coreos.update asks for it"
        )


def _unit_files(unit: Unit) -> Iterator[Action]:
    path = _unit_path(unit)
    if unit.content:
        yield WriteFile(path, unit.content.encode(errors="surrogateescape"), "coreos.units")
    for drop_in in unit.drop_ins:
        if drop_in.name and drop_in.content:
            yield WriteFile(
                f"{path}.d/{drop_in.name}", drop_in.content.encode(errors="surrogateescape"), "a drop-in"
            )
    if unit.mask:
        yield MaskUnit(path, "cloud-config masks it")
    elif unit.runtime:
        yield UnmaskUnit(path, "cloud-config does not mask it")


def _is_touched(unit: Unit) -> bool:
    """Whether what systemd's manager reads of a unit is written."""
    writes = unit.content or unit.mask or any(drop_in.name and drop_in.content for drop_in in unit.drop_ins)
    return bool(writes) and not _is_network(unit)


def _ends_masked(unit: Unit) -> bool:
    return unit.mask and unit.command == "stop" and not _is_network(unit)


def _must_be_read_from(unit: Unit) -> str:
    return _unit_path(unit) if unit.content or unit.mask else ""


def _unit_path(unit: Unit) -> str:
    folder = "network" if _is_network(unit) else "system"
    return f"/{'run' if unit.runtime else 'etc'}/systemd/{folder}/{unit.name}"


def _is_network(unit: Unit) -> bool:
    return unit.name.endswith(_NETWORK)
