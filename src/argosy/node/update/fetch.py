"""The edge to a payload's servers: its bytes in order, from several addresses, as long as one of them gives.

An address that stalls, breaks off or answers 408, 429 or 5xx is asked again after a pause, from where it
stopped (RFC 9110, section 14); after `Patience.failures` of that, and at once after any other fault, it is
the next one's turn. Redirects are followed ten times, by http and https only. Proxies are the environment's.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from argosy.base.loop import Backoff
from argosy.node.update.problems import Code, Problem, UpdateError, problem

_AGAIN = frozenset((408, 429, 500, 502, 503, 504))
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_PIECE_BYTES = 256 << 10
_USER_AGENT = "argosy-update-engine"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a server. Less than `least_bytes_s` over `stall_s` is a stall, silence as well."""

    stall_s: float = 60.0
    least_bytes_s: int = 1000
    failures: int = 10
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=2.0, most_s=60.0))


class _FetchError(Exception):
    """One try failed. `again`: the same address may work after a pause."""

    def __init__(self, problem: Problem, *, again: bool) -> None:
        super().__init__(problem.sentence)
        self.problem = problem
        self.again = again


class Download:
    """A payload of `size_bytes`, read from a place on. Raises `UpdateError` when no address is left."""

    def __init__(
        self,
        urls: Sequence[str],
        size_bytes: int,
        patience: Patience,
        *,
        chance: Callable[[], float],
        pause: Callable[[float], None] = time.sleep,
        note: Callable[[str], None] = lambda text: None,
        moved: Callable[[int], None] = lambda position: None,
    ) -> None:
        """`note` is told of each fault that is got over, `moved` how far it is."""
        self.position = 0
        self.size_bytes = size_bytes
        self._urls = list(urls)
        self._patience = patience
        self._chance = chance
        self._pause = pause
        self._note = note
        self._moved = moved
        self._failures = 0
        self._last: Problem | None = None
        self._body: _Body | None = None
        self._opener = opener()

    def seek(self, position: int) -> None:
        """Go on reading at another place."""
        if position != self.position:
            self.close()
            self.position = position

    def read(self, count: int) -> bytearray:
        """The next `count` bytes, all of them. Raises `UpdateError`."""
        data = bytearray(count)
        view, done = memoryview(data), 0
        while done < count:
            try:
                body = self._connected()
                got = body.read_into(view[done : done + _PIECE_BYTES])
            except _FetchError as error:
                self._failed(error)
                continue
            done += got
            self.position += got
            self._moved(self.position)
            self._failures = 0
        return data

    def finish(self) -> None:
        """All that is wanted has been read. Raises `UpdateError` if the server sends more than the payload.

        An update that had come so far before reads no more than the payload's head.
        """
        at_end = self.position == self.size_bytes
        if self._body is not None and at_end and self._body.has_more():
            raise UpdateError(
                _wrong_size(self._urls[0], f"more than {self.size_bytes} bytes", self.size_bytes)
            )
        self.close()

    def distrust(self, problem: Problem) -> None:
        """What came from this address is wrong: take the next. Raises `UpdateError` without one."""
        self.close()
        self._note(problem.sentence)
        if self._urls:
            self._urls.pop(0)
        self._last, self._failures = problem, 0
        if not self._urls:
            raise UpdateError(problem)

    def close(self) -> None:
        """Leave the server."""
        if self._body is not None:
            self._body.close()
            self._body = None

    def _connected(self) -> _Body:
        if self._body is None:
            if not self._urls:
                assert self._last is not None
                raise UpdateError(self._last)
            self._body = _Body(self._opener, self._urls[0], self.position, self.size_bytes, self._patience)
        return self._body

    def _failed(self, error: _FetchError) -> None:
        self.close()
        self._last = error.problem
        self._failures += 1
        self._note(error.problem.sentence)
        if error.again and self._failures < self._patience.failures:
            self._pause(self._patience.backoff.pause_s(self._failures, self._chance()))
            return
        self._urls.pop(0)
        self._failures = 0


class _Body:
    """One answer, from `position` to the payload's end."""

    def __init__(
        self,
        opener: urllib.request.OpenerDirector,
        url: str,
        position: int,
        size_bytes: int,
        patience: Patience,
    ) -> None:
        self._url = url
        self._patience = patience
        self._response = self._open(opener, position)
        try:
            self._check_size(position, size_bytes)
            self._since_s, self._since_bytes = time.monotonic(), 0
            self._skip(0 if self._response.status == 206 else position)
        except BaseException:
            self._response.close()
            raise

    def read_into(self, view: memoryview) -> int:
        """Some bytes. Raises `_FetchError`, also when there are no more."""
        try:
            # One read of the socket: what has come is kept, should nothing follow.
            piece = self._response.read1(len(view))
        except TimeoutError as error:
            raise self._stalled() from error
        except (OSError, http.client.HTTPException) as error:
            raise self._broken_off(str(error) or type(error).__name__) from error
        if not piece:
            raise self._broken_off("it ended too early")
        view[: len(piece)] = piece
        self._check_speed(len(piece))
        return len(piece)

    def has_more(self) -> bool:
        """Whether the server sends more than was announced."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return bool(self._response.read(1))
        return False

    def close(self) -> None:
        """Close the connection."""
        self._response.close()

    def _open(self, opener: urllib.request.OpenerDirector, position: int) -> http.client.HTTPResponse:
        headers = {"User-Agent": _USER_AGENT}
        if position:
            headers["Range"] = f"bytes={position}-"
        request = urllib.request.Request(self._url, headers=headers)
        try:
            response: http.client.HTTPResponse = opener.open(request, timeout=self._patience.stall_s)
            return response
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error) from error
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise self._stalled() from error
            sentence = f"{self._url} cannot be reached: {error.reason}"
            raise _FetchError(problem(Code.UNREACHABLE, sentence), again=True) from error
        except TimeoutError as error:
            raise self._stalled() from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._broken_off(str(error) or type(error).__name__) from error

    def _refused(self, error: urllib.error.HTTPError) -> _FetchError:
        if 300 <= error.code < 400:
            sentence = f"{self._url} redirects in a circle, too often, or to where no http server is"
            return _FetchError(problem(Code.REDIRECTS, sentence), again=False)
        sentence = f"{self._url} answered with HTTP {error.code}"
        return _FetchError(
            problem(Code.HTTP_STATUS, sentence, http_status=error.code), again=error.code in _AGAIN
        )

    def _check_size(self, position: int, size_bytes: int) -> None:
        status, headers = self._response.status, self._response.headers
        if status == 206:
            match = _RANGE.fullmatch(headers.get("Content-Range", ""))
            if match is None or int(match[1]) != position:
                raise self._broken_off("it answered with another range than was asked for")
            total = match[3]
        elif status == 200:
            total = headers.get("Content-Length", str(size_bytes))
        else:
            sentence = f"{self._url} answered with HTTP {status}"
            raise _FetchError(problem(Code.HTTP_STATUS, sentence, http_status=status), again=False)
        if total != str(size_bytes):
            raise _FetchError(_wrong_size(self._url, f"{total} bytes", size_bytes), again=False)

    def _skip(self, count: int) -> None:
        """A server without ranges sends all of it again."""
        buffer = memoryview(bytearray(min(count, _PIECE_BYTES)))
        while count:
            count -= self.read_into(buffer[: min(count, _PIECE_BYTES)])

    def _check_speed(self, count: int) -> None:
        self._since_bytes += count
        passed_s = time.monotonic() - self._since_s
        if passed_s < self._patience.stall_s:
            return
        if self._since_bytes < self._patience.least_bytes_s * passed_s:
            raise self._stalled()
        self._since_s, self._since_bytes = time.monotonic(), 0

    def _stalled(self) -> _FetchError:
        sentence = f"{self._url} sends nothing, or next to nothing, for {self._patience.stall_s:g} s"
        return _FetchError(problem(Code.STALLED, sentence), again=True)

    def _broken_off(self, why: str) -> _FetchError:
        return _FetchError(problem(Code.BROKEN_OFF, f"{self._url} broke off: {why}"), again=True)


def opener() -> urllib.request.OpenerDirector:
    """http and https by the environment's proxies, with redirects; no other schemes."""
    director = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        director.add_handler(handler)
    return director


def _wrong_size(url: str, found: str, wanted: int) -> Problem:
    return problem(Code.WRONG_SIZE, f"{url} has {found}, announced were {wanted}")
