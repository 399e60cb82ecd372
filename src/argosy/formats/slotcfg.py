"""A slot's boot configuration, `/coreos/grub/slot-a.cfg` or `slot-b.cfg` on the EFI system partition.

It is what a version asks of the boot loader: how its /usr is verified, and the kernel's arguments. It travels
with the version, and is the same for both slots. GRUB reads it as a script of `set NAME="VALUE"` lines (its
manual, "Writing full configuration files directly"); the last line tells a whole file from a part of one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from argosy.base.errors import ArgosyError
from argosy.formats.version import parse_version

SLOTS = ("a", "b")
# CoreOS's: every disk has the same ones, so that a version need not know which disk it is on.
USR_PARTITION_GUIDS = {
    "a": UUID("7130c94a-213a-4e5a-8e26-6cce9662f132"),
    "b": UUID("e03dd35c-7c2d-4a47-b3fe-27f15780a57c"),
}
# On the kernel's command line: which slot this is, and that the boot loader took a try for it.
SLOT_ARGUMENT = "argosy.slot"
TRIAL_ARGUMENT = "argosy.trial"

MAX_BYTES = 4096
# The kernel takes 2,047 bytes (COMMAND_LINE_SIZE of x86); the rest is for the boot loader and the OEM.
_MAX_ARGUMENTS_BYTES = 1024

_BLOCK_BYTES = 4096
_HEXADECIMAL = re.compile(r"([0-9a-f]{2}){1,256}")
_ROOT_HASH = re.compile(r"[0-9a-f]{64}")
# No blank, and nothing that GRUB's or the kernel's parser would take for its own.
_ARGUMENT = re.compile(r"[!#%&(-\[\]^_a-~]+")
_LINE = re.compile(r'set ([a-z_]+)=(?:"([^"\\]*)"|([^\s"\'\\$;]*))')
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_END = ("slot_end", "yes")


class SlotConfigError(ArgosyError):
    """Not a slot's boot configuration, or not all of one."""


@dataclass(frozen=True, slots=True)
class SlotConfig:
    """How a version is started.

    `root_hash` (64 digits) and `salt` are hexadecimal; dm-verity's superblock and tree begin at
    `hash_offset_bytes` of the partition. `consoles` are the `console=` arguments, apart because a machine's
    OEM may choose others.
    """

    root_hash: str
    hash_offset_bytes: int
    salt: str
    arguments: tuple[str, ...]
    version: str
    consoles: tuple[str, ...] = ()


def split_consoles(arguments: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The `console=` arguments, and the others."""
    consoles = tuple(argument for argument in arguments if argument.startswith("console="))
    return consoles, tuple(argument for argument in arguments if argument not in consoles)


def encode(config: SlotConfig) -> bytes:
    """The file's bytes. Raises `SlotConfigError` for values that the boot loader could not hand on."""
    _check(config)
    values = {
        "slot_version": config.version,
        "slot_consoles": " ".join(config.consoles),
        "slot_arguments": " ".join(config.arguments),
        "usrhash": config.root_hash,
        "usroffset": str(config.hash_offset_bytes),
        "usrsalt": config.salt,
        _END[0]: _END[1],
    }
    return "".join(f'set {name}="{value}"\n' for name, value in values.items()).encode()


def decode(data: bytes) -> SlotConfig:
    """Read the file. Raises `SlotConfigError` unless it is whole and `encode` would write every value."""
    if len(data) > MAX_BYTES:
        raise SlotConfigError(f"{len(data)} bytes are too many for a slot's boot configuration")
    values = assignments(data)
    try:
        if values[_END[0]] != _END[1]:
            raise SlotConfigError("the slot's boot configuration has no end")
        config = SlotConfig(
            root_hash=values["usrhash"],
            hash_offset_bytes=int(values["usroffset"]),
            salt=values["usrsalt"],
            arguments=tuple(values["slot_arguments"].split()),
            version=values["slot_version"],
            consoles=tuple(values["slot_consoles"].split()),
        )
    except KeyError as error:
        raise SlotConfigError(f"the slot's boot configuration does not set {error}") from error
    except ValueError as error:
        raise SlotConfigError(f"the slot's boot configuration: usroffset is no number: {error}") from error
    _check(config)
    return config


def assignments(data: bytes) -> dict[str, str]:
    """The variables that a GRUB script of `set` lines and comments leaves, also an OEM's grub.cfg.

    `$name` and `${name}` within double quotes stand for what was set before, else for nothing. Raises
    `SlotConfigError` with the line for anything else that a script may do: only GRUB itself can tell what
    comes of that.
    """
    values: dict[str, str] = {}
    try:
        lines = data.decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise SlotConfigError("a boot configuration is ASCII text") from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if not match:
            raise SlotConfigError(
                f"line {number} of the boot configuration is no plain `set`: {line.strip()!r}"
            )
        quoted = match[2]
        values[match[1]] = _expanded(quoted, values) if quoted is not None else match[3]
    return values


def command_line(
    config: SlotConfig, slot: str, *, trial: bool, consoles: str | None = None, append: str = ""
) -> str:
    """The kernel's command line, as os/grub/grub.cfg puts it together from the same file.

    `slot` is "a" or "b"; `consoles` and `append` are an OEM's linux_console and linux_append.
    """
    words = [
        " ".join(config.consoles) if consoles is None else consoles,
        "rw root=LABEL=ROOT",
        f"usr=PARTUUID={USR_PARTITION_GUIDS[slot]}",
        f"verity.usrhash={config.root_hash}",
        f"verity.usroffset={config.hash_offset_bytes}",
        f"verity.usrsalt={config.salt}",
        f"{SLOT_ARGUMENT}={slot}",
        TRIAL_ARGUMENT if trial else "",
        *config.arguments,
        append,
    ]
    return " ".join(" ".join(words).split())


def _expanded(text: str, values: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: values.get(match[1] or match[2], ""), text)


def _check(config: SlotConfig) -> None:
    parse_version(config.version)
    words = (*config.consoles, *config.arguments)
    for word in words:
        if not _ARGUMENT.fullmatch(word):
            raise SlotConfigError(
                f"{word!r} cannot be a kernel argument: the boot loader could not hand it on"
            )
    if len(" ".join(words)) > _MAX_ARGUMENTS_BYTES:
        raise SlotConfigError(f"the kernel arguments have more than {_MAX_ARGUMENTS_BYTES} bytes")
    if any(not console.startswith("console=") for console in config.consoles):
        raise SlotConfigError("a console argument begins with console=")
    if not _ROOT_HASH.fullmatch(config.root_hash) or not _HEXADECIMAL.fullmatch(config.salt):
        raise SlotConfigError("root hash or salt is not hexadecimal")
    if config.hash_offset_bytes <= 0 or config.hash_offset_bytes % _BLOCK_BYTES:
        raise SlotConfigError(f"{config.hash_offset_bytes} is no place for a hash tree")
