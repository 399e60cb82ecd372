"""The texts of the files that a cloud-config's sections become; the plan decides where each lies."""

from __future__ import annotations

import re
from collections.abc import Mapping

from argosy.formats.cloudconfig import Variables


def drop_in(variables: Variables) -> str:
    """A drop-in that gives a service its environment; empty without variables.

    `%` stays what it is to systemd, a specifier (`%H`); quotes and backslashes are escaped.
    """
    if not variables:
        return ""
    lines = [f'Environment="{name}={_quoted(value)}"\n' for name, value in variables]
    return "[Service]\n" + "".join(lines)


def environment_file(variables: Variables) -> str:
    """Lines `NAME=value` for `EnvironmentFile=`, without a line break at the end."""
    return "\n".join(f"{name}={value}" for name, value in variables)


def merge_lines(text: str, variables: Mapping[str, str]) -> str:
    """`text` with its lines `NAME=...` replaced by those of `variables`; names it lacks are added, sorted."""
    pending = dict(variables)
    lines = []
    for line in text.splitlines():
        name = line.partition("=")[0]
        lines.append(f"{name}={pending.pop(name)}" if "=" in line and name in pending else line)
    lines += [f"{name}={pending[name]}" for name in sorted(pending)]
    return "".join(f"{line}\n" for line in lines)


def read_lines(text: str) -> dict[str, str]:
    """The variables of lines `NAME=value`, as of /etc/environment; quotes around a value are dropped."""
    found = re.findall(r"^([A-Za-z0-9_]+)=(.*)$", text, re.MULTILINE)
    return {name: value.strip().strip("\"'") for name, value in found}


def oem_release(oem: Variables) -> str:
    """/etc/oem-release; empty without an id."""
    values = dict(oem)
    if not values.get("id"):
        return ""
    plain = f"ID={values['id']}\nVERSION_ID={values.get('version_id', '')}\n"
    names = ("name", "home_url", "bug_report_url")
    return plain + "".join(f'{name.upper()}="{_shell_quoted(values.get(name, ""))}"\n' for name in names)


def hosts(hostname: str) -> str:
    """/etc/hosts of `manage_etc_hosts: localhost`."""
    return f"127.0.0.1 {hostname}\n"


def _quoted(text: str) -> str:
    return re.sub(r'(["\\])', r"\\\1", text)


def _shell_quoted(text: str) -> str:
    return re.sub(r'(["\\$`])', r"\\\1", text)
