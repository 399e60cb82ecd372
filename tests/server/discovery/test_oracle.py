"""Answer by answer the same as the original discovery service of Debian's `etcd-discovery`.

The original runs with an etcd 3.5 behind it that still has the v2 API. Both services get the same requests;
tokens and indexes differ by their nature and are made relative to the cluster's beginning. Where we differ on
purpose, the last table says how.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.etcd import free_ports
from tests.etcd import program as etcd_program
from tests.server.debian import rooted_program
from tests.server.process import Server

from argosy.base.run import start_detached

_FORM = {"content-type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class Ask:
    """A request below a cluster's token. In queries, `{n}` stands for the index n after the beginning."""

    method: str
    path: str = ""
    query: str = ""
    form: str | None = None


@dataclass(frozen=True)
class Told:
    """An answer without what differs by nature. Plain-text bodies are not compared."""

    status: int
    index: int | None
    body: Any


class Service:
    """One of the two, with a cluster of its own."""

    def __init__(self, address: str) -> None:
        self.url = httpx.get(f"{address}/new", params={"size": 3}).text
        self.token = self.url.rpartition("/")[2]
        size = httpx.get(f"{self.url}/_config/size").json()
        self.base = size["node"]["createdIndex"]

    def ask(self, ask: Ask) -> Told:
        query = re.sub(r"\{(\d+)\}", lambda n: str(self.base + int(n[1])), ask.query)
        url = f"{self.url}{ask.path}" + (f"?{query}" if query else "")
        content = ask.form.encode() if ask.form else None
        answer = httpx.request(
            ask.method, url, content=content, headers=_FORM if content else None, timeout=10
        )
        index = answer.headers.get("x-etcd-index")
        is_json = answer.headers.get("content-type") == "application/json"
        return Told(
            answer.status_code,
            self._relative(int(index)) if index is not None else None,
            self._plain(json.loads(answer.text)) if is_json else None,
        )

    def _relative(self, index: int) -> int | None:
        return index - self.base if index else None  # 0: the store was not asked.

    def _plain(self, value: Any) -> Any:
        if isinstance(value, dict):
            plain = {key: self._plain(part) for key, part in value.items()}
            for key in plain.keys() & {"index", "createdIndex", "modifiedIndex"}:
                plain[key] = self._relative(value[key])
            if "nodes" in plain:  # The original's order is that of a hash table.
                plain["nodes"].sort(key=lambda node: node["createdIndex"])
            return plain
        if isinstance(value, list):
            return [self._plain(part) for part in value]
        if isinstance(value, str):
            compared = re.compile(r"\[(\d+) != (\d+)\]")
            relative = compared.sub(lambda m: f"[{int(m[1]) - self.base} != {int(m[2]) - self.base}]", value)
            return relative.replace(self.token, "TOKEN")
        return value


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the original service."""
    folder = tmp_path_factory.mktemp("original")
    client, peer, port = free_ports(3)
    etcd, address = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{port}"
    options = {
        "enable-v2": "true",
        "name": "one",
        "data-dir": str(folder / "data"),
        "listen-client-urls": etcd,
        "advertise-client-urls": etcd,
        "listen-peer-urls": f"http://127.0.0.1:{peer}",
        "initial-advertise-peer-urls": f"http://127.0.0.1:{peer}",
        "initial-cluster": f"one=http://127.0.0.1:{peer}",
        "log-level": "error",
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    discovery = rooted_program("trixie", "etcd-discovery", "/usr/bin/discovery.etcd.io")
    discovery += ["--etcd", etcd, "--host", address, "--addr", f"127.0.0.1:{port}"]
    log = folder / "log"
    started = [start_detached([*etcd_program("etcd"), *words], log=log), start_detached(discovery, log=log)]
    try:
        _wait_until_it_answers(address, log)
        yield address
    finally:
        for pid in started:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _wait_until_it_answers(address: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if httpx.get(f"{address}/health").status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def both(original: str, server: Server, script: Sequence[Ask]) -> list[tuple[Ask, Told, Told]]:
    theirs, ours = Service(original), Service(server.address)
    return [(ask, theirs.ask(ask), ours.ask(ask)) for ask in script]


READING = [
    Ask("GET"),
    Ask("GET", "/"),
    Ask("GET", "/_config"),
    Ask("GET", "/_config/size"),
    Ask("GET", "/_config/size", "quorum=false&recursive=false&sorted=false"),
    Ask("GET", "/_config/size", "quorum=true"),
    Ask("GET", "/_config/other"),
    Ask("GET", "/_config/"),
    Ask("GET", "", "wait=false"),
    Ask("GET", "", "wait=true&quorum=true"),
    Ask("GET", "", "recursive=true"),
    Ask("GET", "", "sorted=true"),
    Ask("GET", "/nobody"),
    Ask("GET", "/nobody/"),
    Ask("GET", "/no/body"),
    Ask("GET", "/_hidden"),
    *(Ask("GET", "", f"{name}=zz") for name in ("quorum", "recursive", "sorted", "wait", "dir", "stream")),
    *(Ask("GET", "", f"{name}=zz") for name in ("waitIndex", "prevIndex")),
    Ask("GET", "", "wait=true&waitIndex=-1"),
    Ask("GET", "", "wait=true&waitIndex="),
    Ask("GET", "", "recursive="),
]

METHODS = [
    *(Ask(method, "/_config/size", "", "value=9") for method in ("PUT", "POST", "DELETE")),
    *(Ask(method, "") for method in ("DELETE", "POST", "HEAD", "OPTIONS", "PATCH")),
    *(Ask(method, "/a") for method in ("POST", "HEAD", "OPTIONS", "PATCH")),
    Ask("PUT", "", "", "value=x"),
    Ask("PUT", "/", "", "value=x"),
    Ask("PUT", "/_config", "", "value=x"),
    Ask("DELETE", "/_config"),
    Ask("DELETE", "/_config/size"),
]

WRITING = [
    Ask("PUT", "/a", "prevExist=false", "value=a%3Dhttp%3A%2F%2Fh%3A1"),
    Ask("PUT", "/a", "prevExist=false", "value=again"),
    Ask("PUT", "/a", "prevExist=true", "value=new"),
    Ask("PUT", "/b", "prevExist=true", "value=x"),
    Ask("PUT", "/b", "prevExist=zz", "value=x"),
    Ask("PUT", "/b", "prevExist=", "value=x"),
    Ask("PUT", "/b", "", "value=first"),
    Ask("PUT", "/b", "", "value=second"),
    Ask("PUT", "/b", "value=query", "value=form"),
    Ask("PUT", "/b", "value=query"),
    Ask("PUT", "/c", "", "value=x&prevExist=false"),
    Ask("PUT", "/c", "prevValue=other", "value=y"),
    Ask("PUT", "/c", "prevValue=", "value=y"),
    Ask("PUT", "/c", "prevValue=x", "value=y"),
    Ask("PUT", "/c", "prevIndex={0}", "value=z"),
    Ask("PUT", "/c", "prevIndex={0}&prevExist=true", "value=z"),
    Ask("PUT", "/c", "prevIndex={8}", "value=z"),
    Ask("PUT", "/c", "prevIndex=zz", "value=z"),
    Ask("PUT", "/c", "prevIndex=0", "value=z"),
    Ask("PUT", "/d", "prevIndex={1}", "value=z"),
    Ask("PUT", "/d", "prevValue=x", "value=z"),
    Ask("PUT", "/d", "", "value=%zz"),
    Ask("PUT", "/d", "wait=true", "value=x"),
    Ask("PUT", "/d%2Fe", "", "value=x"),
    Ask("PUT", "/%C3%BC", "", "value=%C3%A9%3C%26%3E%E2%80%A8%22%0A+%2B"),
    Ask("GET", "/%C3%BC"),
    Ask("GET"),
    Ask("GET", "", "recursive=true&sorted=true"),
    Ask("DELETE", "/c", "prevIndex={1}"),
    Ask("DELETE", "/c", "prevValue=nope"),
    Ask("DELETE", "/c", "prevValue=z"),
    Ask("DELETE", "/b", "prevExist=false"),
    Ask("DELETE", "/b"),
    Ask("GET", "/b"),
    Ask("PUT", "/b", "prevExist=false", "value=back"),
    Ask("GET"),
]

WAITING = [
    Ask("PUT", "/a", "prevExist=false", "value=1"),
    Ask("PUT", "/b", "prevExist=false", "value=2"),
    Ask("PUT", "/a", "prevExist=true", "value=3"),
    Ask("DELETE", "/b"),
    *(Ask("GET", "", f"recursive=true&wait=true&waitIndex={{{n}}}") for n in range(5)),
    Ask("GET", "", "recursive=1&wait=t&waitIndex=1"),
    Ask("GET", "/a", "recursive=false&wait=true&waitIndex={1}"),
    Ask("GET", "/a", "wait=true&waitIndex={2}"),
    Ask("GET", "/b", "wait=true&waitIndex={3}"),
    Ask("GET", "/_config/size", "wait=true&waitIndex={0}"),
    Ask("GET", "/_config", "recursive=true&wait=true&waitIndex={0}"),
]


@pytest.mark.parametrize("script", [READING, METHODS, WRITING, WAITING])
def test_the_same_answers(original: str, server: Server, script: Sequence[Ask]) -> None:
    different = [step for step in both(original, server, script) if step[1] != step[2]]
    assert not different


def test_waits_end_with_the_same_event(original: str, server: Server) -> None:
    for ask in (Ask("GET", "", "recursive=true&wait=true&waitIndex={1}"), Ask("GET", "/a", "wait=true")):
        told = [_wait_then_register(Service(address), ask) for address in (original, server.address)]
        assert told[0] == told[1]
        assert told[0].body["node"]["value"] == "x"


def _wait_then_register(service: Service, ask: Ask) -> Told:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(service.ask, ask)
        time.sleep(0.5)  # Neither service tells when it holds the wait.
        assert not waiting.done()
        service.ask(Ask("PUT", "/a", "prevExist=false", "value=x"))
        return waiting.result()


@pytest.mark.parametrize(
    ("path", "status"),
    [("/" + "A" * 32, 404), ("/" + "g" * 32, 404), ("/abc", 404), ("/new/", 404), ("/new?size=abc", 400)],
)
def test_other_addresses(original: str, server: Server, path: str, status: int) -> None:
    assert [httpx.get(f"{address}{path}").status_code for address in (original, server.address)] == [
        status
    ] * 2


def test_an_unknown_token_is_told_the_same(original: str, server: Server) -> None:
    for path in ("", "/", "/a", "/_config/size"):
        bodies = []
        for address in (original, server.address):
            answer = httpx.get(f"{address}/{'0' * 32}{path}")
            bodies.append((answer.status_code, {**answer.json(), "index": None}))
        assert bodies[0] == bodies[1]


# What we refuse and the original accepts: abuse, and what members never send.
@pytest.mark.parametrize(
    ("ask", "theirs", "ours"),
    [
        (Ask("PUT", "/a", "", ""), 201, 400),  # no value
        (Ask("PUT", "/a", "ttl=60", "value=x"), 201, 400),
        (Ask("PUT", "/a", "dir=true"), 201, 400),
        (Ask("PUT", "/_a", "", "value=x"), 201, 400),  # a hidden key
        (Ask("PUT", "/a", "noValueOnSuccess=true", "value=x"), 201, 400),
        (Ask("GET", "", "stream=true"), 200, 400),
        (Ask("DELETE", "/_config", "recursive=true"), 200, 403),  # the cluster's size
    ],
)
def test_refused_on_purpose(original: str, server: Server, ask: Ask, theirs: int, ours: int) -> None:
    [(_, told_theirs, told_ours)] = both(original, server, [ask])
    assert (told_theirs.status, told_ours.status) == (theirs, ours)


def test_only_tokens_that_were_given_out_can_be_joined(original: str, server: Server) -> None:
    for address, status in ((original, 201), (server.address, 404)):
        answer = httpx.put(f"{address}/{'f' * 32}/a", data={"value": "x"})
        assert answer.status_code == status


@pytest.mark.parametrize("size", ["0", "-1", "99999999"])
def test_only_sizes_that_a_cluster_can_have(original: str, server: Server, size: str) -> None:
    codes = [httpx.get(f"{at}/new", params={"size": size}).status_code for at in (original, server.address)]
    assert codes == [200, 400]
