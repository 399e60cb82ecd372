"""Which cordons of a machine hold, and what they mean in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from argosy.formats.cordon import CordonRecord


def holding(cordons: Mapping[str, CordonRecord], boot: str | None) -> dict[str, CordonRecord]:
    """Those that hold for a machine that is in this boot; None if it is away, and nobody knows.

    A cordon for one boot ends with it, whoever set it: nothing has to be undone when the machine is back.
    """
    return {by: cordon for by, cordon in cordons.items() if not is_over(cordon, boot)}


def is_over(cordon: CordonRecord, boot: str | None) -> bool:
    """Whether the boot that a cordon was for has ended."""
    return bool(cordon.boot) and boot is not None and cordon.boot != boot


def closed_because(cordons: Mapping[str, CordonRecord]) -> str:
    """Why a machine takes no new units, in words; empty if it does."""
    return ", ".join(
        ("draining" if cordon.drain else "cordoned")
        + f" for {by}"
        + (f" ({cordon.reason})" if cordon.reason else "")
        for by, cordon in sorted(cordons.items())
    )
