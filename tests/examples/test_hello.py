"""The sample service's image: the same bytes each time, digests that hold, and a program that answers."""

from __future__ import annotations

import hashlib
import http.client
import importlib.util
import io
import json
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from argosy.base.paths import shipped

BUILD = shipped("examples/hello/build.py")


@pytest.fixture(scope="module")
def busybox() -> Path:
    found = shutil.which("busybox")
    assert found, "busybox-static is missing: run `argosy setup --tests`"
    return Path(found)


@pytest.fixture
def image(busybox: Path, tmp_path: Path) -> bytes:
    out = tmp_path / "hello.tar"
    subprocess.run([sys.executable, BUILD, "--busybox", busybox, "--out", out], check=True)
    return out.read_bytes()


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {entry.name: tar.extractfile(entry) for entry in tar if entry.isfile()}
        return {name: file.read() for name, file in files.items() if file}


def blob(files: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    """What a descriptor points to, its size and digest checked."""
    algorithm, _, value = descriptor["digest"].partition(":")
    data = files[f"blobs/{algorithm}/{value}"]
    assert hashlib.sha256(data).hexdigest() == value
    assert len(data) == descriptor["size"]
    return data


def test_same_busybox_same_bytes(image: bytes, busybox: Path, tmp_path: Path) -> None:
    copy = tmp_path / "another name"
    copy.write_bytes(busybox.read_bytes())
    copy.chmod(0o700)
    out = tmp_path / "again.tar"
    subprocess.run([sys.executable, BUILD, "--busybox", copy, "--out", out], check=True)
    assert out.read_bytes() == image


def test_every_digest_and_size_holds(image: bytes) -> None:
    files = members(image)
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (named,) = json.loads(files["index.json"])["manifests"]
    assert named["annotations"]["org.opencontainers.image.ref.name"] == "localhost/hello:1"
    manifest = json.loads(blob(files, named))
    config = json.loads(blob(files, manifest["config"]))
    layers = [blob(files, layer) for layer in manifest["layers"]]
    assert config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
    assert len([name for name in files if name.startswith("blobs/")]) == 2 + len(layers)


def test_nothing_of_this_machine_is_inside(image: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(image)) as tar:
        assert {entry.mtime for entry in tar} == {0}
        assert {(entry.uid, entry.uname) for entry in tar} == {(0, "")}


def test_wrong_programs_are_refused(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    for wrong in (script, Path("/bin/ls")):
        out = tmp_path / "out.tar"
        done = subprocess.run(
            [sys.executable, BUILD, "--busybox", wrong, "--out", out],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "busybox-static" in done.stderr
        assert not out.exists()


def load_build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hello_build", BUILD)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def unpacked(busybox: Path, tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """The layer's script with its paths moved to a folder of ours, and its port to a free one."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for name in ("bin", "www"):
        (tmp_path / name).mkdir()
    for name in ("busybox", "sh", "httpd"):
        (tmp_path / "bin" / name).symlink_to(busybox)
    script = load_build().HELLO.decode()
    script = script.replace("#!/bin/sh", f"#!{tmp_path}/bin/sh").replace("/www", f"{tmp_path}/www")
    path = tmp_path / "bin/hello"
    path.write_text(script.replace("-p 8080", f"-p 127.0.0.1:{port}"))
    path.chmod(0o755)
    yield path, port


def test_the_script_answers_and_stops_on_sigterm(unpacked: tuple[Path, int]) -> None:
    script, port = unpacked
    environment = {"PATH": str(script.parent), "HELLO": "core-02, Argosy 4891.0.0"}
    process = subprocess.Popen([script], env=environment)
    try:
        assert fetch(port) == "hello from core-02, Argosy 4891.0.0\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    finally:
        process.kill()
        process.wait()
    # The script has sent its child the signal, and does not wait for it.
    deadline = time.monotonic() + 10
    while answers(port):
        assert time.monotonic() < deadline, "something still answers"
        time.sleep(0.05)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def fetch(port: int) -> str:
    deadline = time.monotonic() + 10
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().read().decode()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        finally:
            connection.close()
