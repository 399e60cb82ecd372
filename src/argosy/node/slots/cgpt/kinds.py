"""Types of partitions by the short names and descriptions of the original."""

from __future__ import annotations

import argparse
from uuid import UUID

USR = UUID("5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6")
CHROMEOS_KERNEL = UUID("fe3a2a5d-4f32-41a7-b725-accc3285a309")
UNUSED = UUID(int=0)

_DATA = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
_MSWIN = UUID("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7")

# Of several names for a type, the first one's description is shown.
_KINDS = (
    ("firmware", UUID("cab6e88e-abf3-4102-a07a-d4bb9be3c1d3"), "ChromeOS firmware"),
    ("kernel", CHROMEOS_KERNEL, "ChromeOS kernel"),
    ("rootfs", UUID("3cb8e202-3b7e-47dd-8a3c-7ff2a13cfcec"), "ChromeOS rootfs"),
    ("data", _DATA, "Alias for linux-data"),
    ("chromeos-data", _MSWIN, "Alias for mswin-data"),
    ("reserved", UUID("2e0a753d-9e48-43b0-8337-b15192cb1b5e"), "ChromeOS reserved"),
    ("mswin-data", _MSWIN, "MS Windows data"),
    ("efi", UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b"), "EFI System Partition"),
    ("bios", UUID("21686148-6449-6e6f-744e-656564454649"), "BIOS Boot Partition"),
    ("unused", UNUSED, "Unused (nonexistent) partition"),
    ("linux-data", _DATA, "Linux data"),
    ("linux-swap", UUID("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"), "Linux swap"),
    ("linux-boot", UUID("bc13c2ff-59e6-4262-a352-b275fd6f7172"), "Linux /boot"),
    ("linux-home", UUID("933ac7e1-2eb4-4f13-b844-0e14e2aef915"), "Linux /home"),
    ("linux-lvm", UUID("e6d6d379-f507-44c2-a23c-238f2a3df928"), "Linux LVM"),
    ("linux-raid", UUID("a19d880f-05fc-4d3b-a006-743f0f84911e"), "Linux RAID"),
    ("linux-reserved", UUID("8da63339-0007-60c0-c436-083ac8230908"), "Linux reserved"),
    ("coreos-usr", USR, "Alias for coreos-rootfs"),
    ("coreos-rootfs", USR, "CoreOS rootfs"),
    ("coreos-resize", UUID("3884dd41-8582-4404-b9a8-e9b84f2df50e"), "CoreOS auto-resize"),
    ("coreos-reserved", UUID("c95dc21a-df0e-4340-8d7b-26cbfa9a03e0"), "CoreOS reserved"),
    ("coreos-root-raid", UUID("be9067b9-ea49-4f15-b4f6-f36f8c9e1818"), "CoreOS RAID containing root"),
)


def kind(text: str) -> UUID:
    """A type by its name or GUID, for argparse."""
    for name, guid, _ in _KINDS:
        if name == text:
            return guid
    return guid_argument(text)


def guid_argument(text: str) -> UUID:
    """A GUID, for argparse."""
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a GUID nor a name of a type") from None


def description(guid: UUID) -> str:
    """The words for a type, or its GUID."""
    return next((words for _, known, words in _KINDS if known == guid), upper(guid))


def upper(guid: UUID) -> str:
    """A GUID as the original shows it."""
    return str(guid).upper()


def names() -> str:
    """The list of names for `--help`."""
    rows = "\n".join(f"    {name:<16}  {words}" for name, _, words in _KINDS)
    return f"The partition type may also be given as one of these aliases:\n\n{rows}\n"
