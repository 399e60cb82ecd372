"""Asking a service without a pause, of real HTTP servers."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from argosy.lab.model import Machine
from argosy.lab.ticks import EVERY_S, Tally, Tick, Ticker, read, tally


class _Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello\n")

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def _service(port: int = 0) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", port), _Hello)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _machine(index: int, port: int) -> Machine:
    return Machine(index, f"core-{index:02}", f"172.17.8.{100 + index}", 1, port)


def _until(ticker: Ticker, ticks: int) -> Tally:
    deadline = time.monotonic() + 60
    while ticker.tally.ticks < ticks:
        assert time.monotonic() < deadline
        time.sleep(EVERY_S / 4)
    return ticker.tally


def test_a_machine_that_is_away_is_no_gap_but_two_are(tmp_path: Path) -> None:
    log = tmp_path / "kept" / "ticks.jsonl"
    with _service() as one, contextlib.ExitStack() as other:
        port = other.enter_context(_service())
        with Ticker([_machine(1, one), _machine(2, port)], log) as ticker:
            seen = _until(ticker, 5)
            assert (seen.missed, seen.silent_at_once) == (0, 0)
            assert seen.answers == {"core-01": "hello", "core-02": "hello"}
            other.close()
            seen = _until(ticker, seen.ticks + 5)
            assert (seen.missed, seen.silent_at_once) == (0, 1)
            assert seen.answers == {"core-01": "hello", "core-02": None}
    with Ticker([_machine(1, one), _machine(2, port)], tmp_path / "gone") as ticker:
        seen = _until(ticker, 3)
        assert (seen.missed, seen.silent_at_once) == (seen.ticks, 2)
    kept = read(log)
    assert len(kept) >= 10 and kept == sorted(kept, key=lambda tick: tick.at)
    assert tally(kept).missed == 0


def test_the_slowest_first_answer_is_kept() -> None:
    ticks = [
        Tick("1", {"a": "hi", "b": None}, 0.1),
        Tick("2", {"a": None, "b": None}),
        Tick("3", {"a": "ho"}, 2),
    ]
    assert tally(ticks) == Tally(3, 1, 2, 2, {"a": "ho"})
