"""Applying a cloud-config against what coreos-cloudinit did on a fake root: actions in order, changed files.

Where ours differs on purpose, a rule below says when and why; every other case must agree exactly.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conformance import cases

from argosy.base.errors import ArgosyError
from argosy.formats.cloudconfig import check_user_data
from argosy.node.provision.machine import Machine, useradd
from argosy.node.provision.model import (
    Action,
    AuthorizeKeys,
    CreateUser,
    EnableUnits,
    ReloadManager,
    SetHostname,
    SetPassword,
    UnitCommand,
)
from argosy.node.provision.service import Settings, provision
from argosy.node.provision.sources import ConfigDriveSource, Fetched, FileSource

UPDATE_CONF = "SERVER=https://public.update.core-os.net/v1/update/\nGROUP=stable\n"


@dataclass(frozen=True)
class Recording(Machine):
    """A machine that keeps the actions it was given, and runs no command."""

    seen: list[Action] = field(default_factory=list)

    def perform(self, actions: Any) -> None:
        self.seen.extend(actions)
        super().perform(actions)


def machine_at(root: Path, case: dict[str, Any]) -> Recording:
    files = {
        "/etc/passwd": f"root:x:0:0::/root:/bin/sh\ncore:x:{os.getuid()}:{os.getgid()}::/home/core:/bin/sh\n",
        "/etc/group": "root:x:0:\n",
        "/usr/share/coreos/update.conf": UPDATE_CONF,
        "/usr/lib/systemd/system/locksmithd.service": "[Service]",
        "/usr/lib/systemd/system/update-engine.service": "[Service]",
        "/user_data": case["input"],
        **case["pre"],
        **{f"/media/configdrive/{path}": text for path, text in case["configdrive"].items()},
    }
    if "exists, ignoring creation" in case["stderr"] and "Creating user" not in case["stderr"]:
        files["/etc/passwd"] += "u:x:1000:1000::/home/u:/bin/sh\n"
    (root / "home/core").mkdir(parents=True)
    for path, text in files.items():
        (root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (root / path.lstrip("/")).write_text(text)
    return Recording(
        root=root,
        command=lambda argv, stdin: "",
        kernel_hostname=lambda: "testhost",
        set_kernel_hostname=lambda name: None,
    )


def as_recorded(action: Action) -> list[list[Any]]:
    """An action as the recorder of the original wrote it down."""
    match action:
        case SetHostname(name=name):
            return [["exec", "hostnamectl", "set-hostname", name]]
        case CreateUser(user=user):
            return [["exec", *useradd(user)]]
        case SetPassword(user=name, password_hash=password):
            return [["password", name, password]]
        case AuthorizeKeys(user=name, name=keys_name, keys=keys):
            lines = [["stdin", "update-ssh-keys", key] for key in keys]
            return [["exec", "update-ssh-keys", "-u", name, "-a", keys_name], *lines]
        case EnableUnits(units=units, runtime=runtime):
            return [
                ["systemd", "enable", [u], "runtime" if runtime else "persistent", "force"] for u in units
            ]
        case ReloadManager():
            return [["systemd", "daemon-reload"]]
        case UnitCommand(verb=verb, units=units):
            return [["systemd", verb, unit, "replace"] for unit in units]
    return []


def expected_actions(case: dict[str, Any]) -> list[list[Any]]:
    """Theirs, with a password apart from the command that adds a user, and no quotes around a comment."""
    actions = []
    for action in case["actions"]:
        action = [word.strip('"') if isinstance(word, str) else word for word in action]
        if "--password" in action and (hashed := action[action.index("--password") + 1]) != "*":
            action[action.index("--password") + 1] = "*"
            actions += [action, ["password", action[-1], hashed]]
        else:
            actions.append(action)
    return actions


def files_under(root: Path) -> dict[str, Any]:
    """Every file and link with its mode and content; homes are left out, theirs were another tool's work."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = f"/{path.relative_to(root)}"
        if name.startswith("/home/") or name == "/etc/hostname":
            continue
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file():
            found[name] = (
                f"{stat.S_IMODE(path.stat().st_mode):04o}",
                path.read_text(errors="surrogateescape"),
            )
    return found


def expected_files(case: dict[str, Any]) -> dict[str, Any]:
    return {
        path: entry["target"] if entry["type"] == "link" else (entry["mode"], entry["content"])
        for path, entry in case["changed"].items()
    }


def run_case(case: dict[str, Any], root: Path) -> tuple[int, Recording, dict[str, Any], list[str]]:
    """Exit code, the machine with its actions, changed files, removed files."""
    machine = machine_at(root, case)
    before = files_under(root)
    path = root / case["args"][0].partition("=")[2].lstrip("/")
    source = ConfigDriveSource(path) if "configdrive" in case["args"][0] else FileSource(path)
    names = [word.partition("=")[2] for word in case["args"] if word.startswith("-ssh-key-name=")]
    try:
        fetched = source.fetch()
        assert isinstance(fetched, Fetched)
        accepted = provision(fetched, machine, Settings(*names), case["env"])
        code = 0 if accepted or "-ignore-failure" in case["args"] else 1
    except ArgosyError:
        code = 1
    after = files_under(root)
    changed = {name: entry for name, entry in after.items() if before.get(name) != entry}
    return code, machine, changed, sorted(before.keys() - after.keys())


def differs_on_purpose(case: dict[str, Any]) -> str:
    """Why a case is not comparable; empty if it is."""
    text = case["input"]
    caught = " ".join(map(str, check_user_data(text, "x").errors))
    if "must be keys" in caught:
        return "theirs took a text without keys for an empty config"
    if any(word.startswith("-convert-netconf") for word in case["args"]):
        return "converting a cloud's network configuration is not part of this release"
    if "error:" in case["stderr"]:
        return "theirs applied what its own check called an error, or the half before it"
    if "-ignore-failure" in case["args"] and "manage_etc_hosts" in text:
        return "a wrong value of manage_etc_hosts is malformed user-data here"
    if "Failed to apply" in case["stderr"]:
        return "theirs found the error only after it had begun to apply"
    if "manage_etc_hosts: localhost" in text and "hostname:" in text:
        return "theirs wrote the host name of before into /etc/hosts"
    return ""


def same_but_for_reloads(found: list[list[Any]], wanted: list[list[Any]]) -> bool:
    """Ours reloads after masking too, or a loaded unit would not know; not for files that networkd reads."""
    reload = ["systemd", "daemon-reload"]
    return [a for a in found if a != reload] == [a for a in wanted if a != reload]


def test_applying_agrees_with_the_original(tmp_path: Path) -> None:
    reasons: Counter[str] = Counter()
    wrong = []
    agreed = 0
    for number, case in enumerate(cases("cloudinit-apply")):
        code, machine, changed, removed = run_case(case, tmp_path / str(number))
        found = [line for action in machine.seen for line in as_recorded(action)]
        wanted = expected_actions(case)
        same_actions = same_but_for_reloads(found, wanted)
        same_files = changed == expected_files(case) and removed == case["removed"]
        if code == case["exit"] and same_actions and same_files:
            agreed += 1
        elif reason := differs_on_purpose(case):
            reasons[reason] += 1
        else:
            files = (changed, expected_files(case), removed, case["removed"])
            wrong.append((case["origin"], case["input"], code, case["exit"], found, wanted, files))
    print(f"{agreed} agree;", "; ".join(f"{count}: {reason}" for reason, count in reasons.items()))
    assert agreed
    assert not wrong, f"{len(wrong)} differ, for example {wrong[:3]}"
