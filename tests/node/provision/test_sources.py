"""Where user-data comes from: files, a web server, config drives, credentials, the kernel command line."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from argosy.base.errors import ArgosyError, InputError
from argosy.formats.metadata import Metadata
from argosy.node.provision.sources import (
    ConfigDriveSource,
    CredentialsSource,
    Fetched,
    FileSource,
    UrlSource,
    cmdline_source,
    credentials_folder,
    first_available,
)


class _Web(HTTPServer):
    answers: list[int]


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, _Web)
        self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
        self.end_headers()
        self.wfile.write(b"#cloud-config\n")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[_Web]:
    server = _Web(("127.0.0.1", 0), _Handler)
    server.answers = []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def url(web: _Web) -> str:
    return f"http://127.0.0.1:{web.server_port}/user-data"


def test_a_server_that_is_not_ready_is_asked_again_at_growing_intervals(web: _Web) -> None:
    web.answers = [503, 500, 503]
    waits: list[float] = []
    fetched = first_available([UrlSource(url(web))], sleep=waits.append)
    assert fetched.user_data == b"#cloud-config\n"
    assert waits == [0.1, 0.2, 0.4]


def test_a_server_that_refuses_is_not_asked_again(web: _Web) -> None:
    web.answers = [404]
    with pytest.raises(ArgosyError, match="answered 404"):
        first_available([UrlSource(url(web))], sleep=pytest.fail)


def test_waiting_ends(web: _Web) -> None:
    web.answers = [503] * 100
    waits: list[float] = []
    with pytest.raises(ArgosyError, match="within 300 s"):
        first_available([UrlSource(url(web))], sleep=waits.append)
    assert sum(waits) == pytest.approx(300)
    assert max(waits) <= 30


def test_nobody_listening_is_waited_for() -> None:
    waits: list[float] = []
    with pytest.raises(ArgosyError):
        first_available([UrlSource("http://127.0.0.1:1/")], sleep=waits.append, timeout_s=1)
    assert len(waits) > 2


def test_the_first_source_that_is_there_wins(tmp_path: Path, web: _Web) -> None:
    (tmp_path / "a").write_bytes(b"a")
    missing, there = FileSource(tmp_path / "missing"), FileSource(tmp_path / "a")
    assert first_available([missing, there], sleep=pytest.fail).user_data == b"a"
    with pytest.raises(InputError, match="No such file"):
        first_available([missing], sleep=pytest.fail)


def test_other_schemes_are_refused() -> None:
    with pytest.raises(InputError, match="not an http"):
        UrlSource("file:///etc/shadow").fetch()


def test_gzip_is_unpacked_and_damage_reported() -> None:
    assert Fetched("x", gzip.compress(b"#!")).text() == "#!"
    with pytest.raises(InputError, match="damaged"):
        Fetched("x", gzip.compress(b"#!")[:-4]).text()
    assert Fetched("x", b"#!\xff").text().encode(errors="surrogateescape") == b"#!\xff"


def test_a_config_drive(tmp_path: Path) -> None:
    latest = tmp_path / "openstack/latest"
    latest.mkdir(parents=True)
    assert ConfigDriveSource(tmp_path).fetch() == Fetched(f"config drive {tmp_path}")
    (latest / "user_data").write_bytes(b"#!")
    (latest / "meta_data.json").write_text('{"hostname": "h", "public_keys": {"a": "k"}, "uuid": "u"}')
    fetched = ConfigDriveSource(tmp_path).fetch()
    assert fetched == Fetched(f"config drive {tmp_path}", b"#!", Metadata("h", ssh_authorized_keys=("k",)))
    (latest / "meta_data.json").write_text("[]")
    with pytest.raises(InputError):
        ConfigDriveSource(tmp_path).fetch()
    with pytest.raises(InputError):
        ConfigDriveSource(tmp_path / "missing").fetch()


def test_credentials(tmp_path: Path) -> None:
    assert credentials_folder({"CREDENTIALS_DIRECTORY": str(tmp_path)}) == tmp_path
    assert credentials_folder({}) == Path("/run/credentials/@system")
    source = CredentialsSource(tmp_path)
    assert source.fetch() == Fetched("credential argosy.user-data")
    (tmp_path / "argosy.user-data").write_bytes(b"#!")
    (tmp_path / "argosy.metadata").write_text('{"hostname": "core-01"}')
    assert source.fetch() == Fetched("credential argosy.user-data", b"#!", Metadata("core-01"))


@pytest.mark.parametrize(
    ("cmdline", "found"),
    [
        ("quiet root=x", None),
        ("cloud-config-url=http://a/ quiet", "http://a/"),
        ("cloud_config_url=http://a/ cloud-config-url=http://b/?c=d", "http://b/?c=d"),
        ("cloud-config-url cloud-config-url=", None),
    ],
)
def test_the_kernel_command_line(cmdline: str, found: str | None) -> None:
    assert cmdline_source(cmdline) == (UrlSource(found) if found else None)
