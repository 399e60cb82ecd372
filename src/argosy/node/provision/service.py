"""One run of provisioning: what a source gave is checked as a whole, then applied."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from argosy.base.errors import ArgosyError, InputError
from argosy.formats.cloudconfig import (
    ADDRESS_NAMES,
    CloudConfig,
    Head,
    Severity,
    head,
    parse_cloud_config,
    substitute,
    unknown_addresses,
)
from argosy.formats.metadata import Metadata
from argosy.node.provision.contents import read_lines
from argosy.node.provision.machine import Machine
from argosy.node.provision.plan import ENVIRONMENT, plan, plan_script
from argosy.node.provision.sources import Fetched

_LEVEL = {Severity.ERROR: logging.ERROR, Severity.WARNING: logging.WARNING, Severity.INFO: logging.INFO}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """How to run: the name that ssh keys are kept under, and the folder for scripts."""

    keys_name: str = "coreos-cloudinit"
    workspace: str = "/var/lib/coreos-cloudinit"


def provision(fetched: Fetched, machine: Machine, settings: Settings, environment: Mapping[str, str]) -> bool:
    """Apply what a source gave; False if its user-data was refused.

    User-data with errors changes nothing, but the metadata is applied all the same, so that its owner can
    still log in. Raises `ArgosyError` if an action fails.
    """
    metadata = with_known_addresses(fetched.metadata, environment, machine.read(ENVIRONMENT))
    observed = machine.observe()
    script = ""
    try:
        text = _substituted(fetched, metadata)
        config = _checked(text, fetched.name)
        script = text if head(text) is Head.SCRIPT else ""
        actions = plan(config, metadata, observed, keys_name=settings.keys_name)
        accepted = True
    except InputError as error:
        log.error("%s: the user-data is not applied: %s", fetched.name, error.message)
        for line in (error.hint or "").splitlines():
            log.error("  %s", line)
        actions = plan(CloudConfig(), metadata, observed, keys_name=settings.keys_name)
        accepted = False
    if script:
        actions = (*actions, *plan_script(script, settings.workspace))
    machine.perform(actions)
    return accepted


def with_known_addresses(metadata: Metadata, environment: Mapping[str, str], file: str) -> Metadata:
    """`metadata` with what it lacks from our environment (COREOS_PRIVATE_IPV4...) or /etc/environment."""
    known = {**read_lines(file), **environment}
    addresses: dict[str, Any] = {
        name: getattr(metadata, name) or known.get(f"COREOS_{name.upper()}", "") for name in ADDRESS_NAMES
    }
    return replace(metadata, **addresses)


def _substituted(fetched: Fetched, metadata: Metadata) -> str:
    text = fetched.text()
    for name in unknown_addresses(text, metadata.addresses()):
        log.warning("%s: $%s is not known; nothing is put in its place", fetched.name, name)
    return substitute(text, metadata.addresses())


def _checked(text: str, name: str) -> CloudConfig:
    """The config of `text`, after its findings were logged; raises `InputError` if there are errors."""
    config, report = parse_cloud_config(text, name)
    for finding in report.findings:
        log.log(_LEVEL[finding.severity], "%s: %s", name, finding)
    if report.errors:
        count = len(report.errors)
        raise InputError(f"it has {count} error{'s' if count > 1 else ''}")
    for user in config.users:
        if not user.name:
            log.warning("%s: a user without a name is left out", name)
    return config


def raise_failures(failures: list[ArgosyError]) -> None:
    """Raise the first of `failures`, with the others as its hint."""
    if failures:
        lines = [failures[0].hint or "", *(f"{other}\n{other.hint or ''}" for other in failures[1:])]
        raise ArgosyError(str(failures[0]), hint="\n".join(lines).strip() or None)
