"""The download against real servers, good and bad."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.node.update.bench import Handle, answers, serves, stops_after, web

from argosy.base.loop import Backoff
from argosy.node.update.fetch import Download, Patience
from argosy.node.update.problems import Code, UpdateError

DATA = bytes(range(256)) * 40
QUICK = Patience(stall_s=0.3, failures=3, backoff=Backoff(first_s=0.0, most_s=0.0))


def download(urls: Sequence[str], pauses: list[float] | None = None, patience: Patience = QUICK) -> Download:
    pause = [].append if pauses is None else pauses.append
    return Download(urls, len(DATA), patience, chance=lambda: 0.5, pause=pause)


def refused(handle: Handle) -> tuple[str, int]:
    """The code of the refusal, and how often the server was asked."""
    with web(handle) as server, pytest.raises(UpdateError) as caught:
        download([f"{server.url}/update.payload"]).read(len(DATA))
    (problem,) = caught.value.problems
    assert server.url in problem.sentence
    return problem.code, server.asked


def test_all_of_it_in_pieces() -> None:
    with web(serves(DATA)) as server:
        source = download([f"{server.url}/x"])
        pieces = [bytes(source.read(1000)) for _ in range(len(DATA) // 1000)] + [
            bytes(source.read(len(DATA) % 1000))
        ]
        source.finish()
    assert b"".join(pieces) == DATA
    assert server.asked == 1


def test_the_head_alone_may_be_all_that_is_wanted() -> None:
    with web(serves(DATA)) as server:
        source = download([f"{server.url}/x"])
        source.read(10)
        source.finish()


@pytest.mark.parametrize("ranges", [True, False])
def test_another_place(ranges: bool) -> None:
    with web(serves(DATA, ranges=ranges)) as server:
        source = download([f"{server.url}/x"])
        source.seek(5000)
        assert source.read(100) == DATA[5000:5100]
        source.seek(5100)
        assert source.read(10) == DATA[5100:5110]
    assert server.ranges == ["bytes=5000-"]


@pytest.mark.parametrize("stalls", [False, True])
def test_it_goes_on_where_it_broke_off(stalls: bool) -> None:
    with web(stops_after(DATA, 4000, stalls=stalls)) as server:
        assert download([f"{server.url}/x"]).read(len(DATA)) == DATA
    assert server.ranges == [None, "bytes=4000-", "bytes=8000-"]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_asked_again(status: int) -> None:
    assert refused(answers(status)) == (Code.HTTP_STATUS, 3)


@pytest.mark.parametrize("status", [204, 400, 403, 404, 410, 416])
def test_a_server_that_refuses_is_not(status: int) -> None:
    assert refused(answers(status)) == (Code.HTTP_STATUS, 1)


def test_the_number_of_a_status_is_told() -> None:
    with web(answers(404)) as server, pytest.raises(UpdateError) as caught:
        download([f"{server.url}/x"]).read(1)
    assert caught.value.problems[0].number == 2404


def test_the_pauses_grow() -> None:
    pauses: list[float] = []
    patience = Patience(failures=5, backoff=Backoff(first_s=2, most_s=10))
    with web(answers(500)) as server, pytest.raises(UpdateError):
        download([f"{server.url}/x"], pauses, patience).read(1)
    assert pauses == [1.5, 3.0, 6.0, 7.5]


def test_a_circle_of_redirects() -> None:
    code, asked = refused(answers(302, Location="/again"))
    assert code == Code.REDIRECTS
    assert asked <= 12


def test_a_redirect_to_a_file_is_not_followed() -> None:
    assert refused(answers(302, Location="file:///etc/passwd")) == (Code.REDIRECTS, 1)


def test_a_redirect_is_followed_with_the_range() -> None:
    with web(serves(DATA)) as server, web(answers(307, Location=f"{server.url}/there")) as first:
        source = download([f"{first.url}/here"])
        source.seek(100)
        assert source.read(50) == DATA[100:150]
    assert server.ranges == ["bytes=100-"]


def test_silence_is_a_stall() -> None:
    assert refused(stops_after(DATA, 0, stalls=True)) == (Code.STALLED, 3)


def test_a_trickle_is_a_stall() -> None:
    import time

    def trickle(request: object) -> None:
        write = request.wfile  # type: ignore[attr-defined]
        write.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(DATA)}\r\n\r\n".encode())
        for _ in range(20):
            write.write(b"x" * 10)
            write.flush()
            time.sleep(0.05)

    assert refused(trickle)[0] == Code.STALLED


def test_nobody_there() -> None:
    with web(serves(DATA)) as server:
        pass
    with pytest.raises(UpdateError) as caught:
        download([f"{server.url}/x"]).read(1)
    assert caught.value.problems[0].code == Code.UNREACHABLE


@pytest.mark.parametrize("data", [DATA[:-1], DATA + b"x", b""])
def test_another_size_than_announced(data: bytes) -> None:
    assert refused(serves(data)) == (Code.WRONG_SIZE, 1)


def test_more_than_announced_without_a_length() -> None:
    def endless(request: object) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + DATA + b"more")  # type: ignore[attr-defined]
        request.close_connection = True  # type: ignore[attr-defined]

    with web(endless) as server:
        source = download([f"{server.url}/x"])
        assert source.read(len(DATA)) == DATA
        with pytest.raises(UpdateError) as caught:
            source.finish()
    assert caught.value.problems[0].code == Code.WRONG_SIZE


def test_another_range_than_asked_for() -> None:
    def elsewhere(request: object) -> None:
        request.send_response(206)  # type: ignore[attr-defined]
        request.send_header("Content-Range", f"bytes 0-{len(DATA) - 1}/{len(DATA)}")  # type: ignore[attr-defined]
        request.end_headers()  # type: ignore[attr-defined]

    with web(elsewhere) as server, pytest.raises(UpdateError) as caught:
        source = download([f"{server.url}/x"])
        source.seek(10)
        source.read(1)
    assert caught.value.problems[0].code == Code.BROKEN_OFF


def test_addresses_in_their_order() -> None:
    with web(answers(404)) as first, web(stops_after(DATA, 5000)) as second, web(serves(DATA)) as third:
        source = download([f"{server.url}/x" for server in (first, second, third)])
        assert source.read(5000) == DATA[:5000]
        second.handle = answers(503)
        assert source.read(len(DATA) - 5000) == DATA[5000:]
    assert (first.asked, second.asked, third.ranges) == (1, 3, ["bytes=5000-"])


def test_bytes_that_are_wrong_come_from_the_next_address() -> None:
    from argosy.node.update.problems import problem

    wrong = problem(Code.WRONG_SIZE, "wrong")
    with web(serves(DATA)) as first, web(serves(DATA)) as second:
        source = download([f"{first.url}/x", f"{second.url}/x"])
        source.read(10)
        source.distrust(wrong)
        source.seek(0)
        assert source.read(10) == DATA[:10]
        with pytest.raises(UpdateError) as caught:
            source.distrust(wrong)
    assert caught.value.problems == (wrong,)
    assert (first.asked, second.asked) == (1, 1)
