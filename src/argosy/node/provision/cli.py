"""`coreos-cloudinit`: flags as the original has them, with one dash or two."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from argosy.base import cli
from argosy.base.errors import ArgosyError, InputError
from argosy.base.log import set_up_logging
from argosy.formats.cloudconfig import check_user_data
from argosy.node.provision.machine import Machine
from argosy.node.provision.service import Settings, provision, raise_failures
from argosy.node.provision.sources import (
    ConfigDriveSource,
    CredentialsSource,
    Fetched,
    FileSource,
    Source,
    UrlSource,
    cmdline_source,
    credentials_folder,
    first_available,
)

_DESCRIPTION = "Configures this machine from a cloud-config or a script. Running it again is safe."
_EXAMPLES = """\
examples:
  coreos-cloudinit -validate -from-file=user-data.yml     say what is wrong with it, change nothing
  sudo coreos-cloudinit --from-file=user-data.yml         apply it
  sudo coreos-cloudinit --from-credentials                apply what the machine was started with, again
"""
_FLAGS = ("from-proc-cmdline", "from-credentials", "ignore-failure", "validate", "version")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `coreos-cloudinit`."""
    words = sys.argv[1:] if argv is None else argv
    return cli.main(_parser(), _without_values_of_flags(words))


def _parser() -> argparse.ArgumentParser:
    parser = cli.program("coreos-cloudinit", _DESCRIPTION, epilog=_EXAMPLES)

    def option(name: str, help_text: str, **settings: object) -> None:
        parser.add_argument(f"-{name}", f"--{name}", help=help_text, **settings)  # type: ignore[arg-type]

    option("from-file", "read user-data from a file", metavar="FILE", type=Path)
    option("from-url", "fetch user-data from an http or https address", metavar="URL")
    option("from-configdrive", "read a config drive that is mounted at DIR", metavar="DIR", type=Path)
    option("from-proc-cmdline", "fetch what cloud-config-url= names", action="store_true")
    option("from-credentials", "read the system credentials argosy.*", action="store_true")
    option("oem-file", "apply this cloud-config before, if it is there", metavar="FILE", type=Path)
    option("validate", "check only; any finding gives exit code 1", action="store_true")
    option("ignore-failure", "exit with 0 even if user-data is malformed", action="store_true")
    option(
        "ssh-key-name", "the name that ssh keys are kept under", metavar="NAME", default="coreos-cloudinit"
    )
    option("workspace", "where scripts are kept", metavar="DIR", default="/var/lib/coreos-cloudinit")
    option("version", "print the version and exit", action="store_true")
    parser.set_defaults(handler=_run)
    return parser


def _without_values_of_flags(words: Sequence[str]) -> list[str]:
    """Take `-validate=true` for `-validate`, as Go programs do, and drop `-validate=false`."""
    kept = []
    for word in words:
        name, _, value = word.partition("=")
        if value and name.lstrip("-") in _FLAGS and value.lower() in ("true", "t", "1", "false", "f", "0"):
            kept += [name] if value.lower() in ("true", "t", "1") else []
        else:
            kept.append(word)
    return kept


def _run(arguments: argparse.Namespace) -> int:
    if arguments.version:
        print(f"coreos-cloudinit {_release()}")
        return 0
    set_up_logging()
    sources = _sources(arguments)
    if arguments.validate:
        return _validate(first_available(sources, sleep=time.sleep))
    if os.geteuid() != 0:
        raise ArgosyError("only root can configure the machine", hint="run it with sudo")
    settings = Settings(arguments.ssh_key_name, arguments.workspace)
    malformed = _apply(arguments.oem_file, sources, settings)
    return 1 if malformed and not arguments.ignore_failure else 0


def _apply(oem_file: Path | None, sources: Sequence[Source], settings: Settings) -> bool:
    """Apply the OEM's config, then user-data, even if the first fails; whether either was malformed."""
    machine, failures, malformed = Machine(), [], False
    fetched = []
    if oem_file and oem_file.is_file():
        fetched.append(Fetched(str(oem_file), oem_file.read_bytes()))
    fetched.append(first_available(sources, sleep=time.sleep))
    for one in fetched:
        try:
            malformed |= not provision(one, machine, settings, os.environ)
        except ArgosyError as error:
            failures.append(error)
    raise_failures(failures)
    return malformed


def _validate(fetched: Fetched) -> int:
    report = check_user_data(fetched.text(), fetched.name)
    for finding in report.findings:
        print(finding, file=sys.stderr)
    return 1 if report.findings else 0


def _sources(arguments: argparse.Namespace) -> list[Source]:
    sources: list[Source] = []
    if arguments.from_file:
        sources.append(FileSource(arguments.from_file))
    if arguments.from_url:
        sources.append(UrlSource(arguments.from_url))
    if arguments.from_configdrive:
        sources.append(ConfigDriveSource(arguments.from_configdrive))
    if arguments.from_credentials:
        sources.append(CredentialsSource(credentials_folder(os.environ)))
    if arguments.from_proc_cmdline:
        source = cmdline_source(Path("/proc/cmdline").read_text())
        if source is None:
            raise InputError("the kernel command line has no cloud-config-url=")
        sources.append(source)
    if not sources:
        raise InputError(
            "no source is given",
            hint="give one of --from-file, --from-url, --from-configdrive, --from-credentials, "
            "--from-proc-cmdline",
        )
    return sources


def _release() -> str:
    """The release that this program came with."""
    from argosy.node.release import release_version

    return release_version()
