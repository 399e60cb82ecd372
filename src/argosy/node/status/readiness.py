"""What a machine still lacks, and waiting for it. Clock, sleep and looking are given from outside."""

from __future__ import annotations

from collections.abc import Callable

from argosy.formats.nodestatus import UP, NodeStatus

LOOK_EVERY_S = 1.0


def waiting_for(status: NodeStatus) -> str:
    """What keeps the machine from being ready, in words; empty if it is."""
    if status.state not in UP:
        return f"the boot to finish: {status.state}"
    if status.etcd == "unhealthy":
        return "etcd to become healthy"
    if status.fleet == "unregistered":
        return "fleet to register the machine"
    return ""


def wait_until_ready(
    look: Callable[[], NodeStatus],
    finish_boot: Callable[[float], None],
    *,
    timeout_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    note: Callable[[str], None],
) -> NodeStatus:
    """Look until the machine is ready or `timeout_s` is over; the last status, either way.

    `finish_boot` blocks until the boot is over or the given seconds are; `note` hears what is waited for,
    once each.
    """
    deadline = clock() + timeout_s
    last_note = ""
    while True:
        status = look()
        missing = waiting_for(status)
        left_s = deadline - clock()
        if not missing or left_s <= 0:
            return status
        if missing != last_note:
            note(f"waiting for {missing}")
            last_note = missing
        if status.state not in UP:
            finish_boot(left_s)
        sleep(min(LOOK_EVERY_S, max(0.0, deadline - clock())))
