"""Free ports on the host's 127.0.0.1.

They lie below the range from which Linux takes ports for outgoing connections (32768 and up), so that a
halted cluster usually finds its own ports free again.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Container

from argosy.base.errors import ArgosyError

SSH_FROM = 22001
SERVICE_FROM = 28001
SERVER_FROM = 29001
_SPAN = 900


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections are still closing (TIME_WAIT) counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def choose(count: int, *, start: int, taken: Container[int], skip: int = 0) -> list[int]:
    """`count` free ports that are not in `taken`, of the 900 from `start` on, looking from the `skip`th.

    A `skip` that is different for every cluster keeps users who cannot see each other's clusters apart.
    """
    every = (start + (skip + i) % _SPAN for i in range(_SPAN))
    candidates = (port for port in every if port not in taken and is_free(port))
    chosen = list(itertools.islice(candidates, count))
    if len(chosen) < count:
        raise ArgosyError(
            f"no {count} free ports between {start} and {start + _SPAN} on 127.0.0.1",
            hint="`argosy list` shows other clusters; `argosy destroy --name NAME` frees their ports",
        )
    return chosen
