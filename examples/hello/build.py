#!/usr/bin/env python3
"""Makes the image of the sample service: an OCI archive with one static program, busybox, and one script.

Only the standard library is needed, and no registry. The same busybox gives the same bytes: no times, no
owners of this machine, and an uncompressed layer, because compressors differ between versions.

    build.py --busybox /usr/bin/busybox --out hello.tar

The formats: https://github.com/opencontainers/image-spec (image-layout.md, manifest.md, config.md).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shutil
import struct
import sys
import tarfile
from pathlib import Path

NAME = "localhost/hello:1"
NOBODY = 65534
MEDIA = "application/vnd.oci.image."

# The first process of a container ignores signals without a handler: the shell stays, and handles TERM.
HELLO = b"""\
#!/bin/sh
set -eu
printf 'hello from %s\\n' "$HELLO" >/www/index.html
trap 'kill $!' TERM INT
httpd -f -p 8080 -h /www &
wait || :
"""


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Build the OCI archive of the sample service.")
    parser.add_argument("--busybox", type=Path, help="a static busybox (default: the one on PATH)")
    parser.add_argument("--out", type=Path, required=True, help="the archive to write")
    arguments = parser.parse_args()
    found = arguments.busybox or shutil.which("busybox")
    if found is None:
        return _fail("no busybox found: install Debian's busybox-static, or give --busybox PATH")
    busybox = Path(found).read_bytes()
    if not is_static(busybox):
        return _fail(f"{found} is not a static program for x86-64: take that of Debian's busybox-static")
    arguments.out.write_bytes(archive(busybox))
    return 0


def _fail(message: str) -> int:
    print(f"build.py: {message}", file=sys.stderr)
    return 1


def is_static(program: bytes) -> bool:
    """Whether `program` is an x86-64 ELF file (elf(5)) that asks for no dynamic loader (no PT_INTERP)."""
    if program[:5] != b"\x7fELF\x02" or program[18:20] != b"\x3e\x00":
        return False
    (table,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    return all(struct.unpack_from("<I", program, table + i * size) != (3,) for i in range(count))


def archive(busybox: bytes) -> bytes:
    """The OCI archive: a tar of an image layout with one image, NAME."""
    layer = _layer(busybox)
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {
                "User": f"{NOBODY}:{NOBODY}",
                "Env": ["PATH=/bin"],
                "Entrypoint": ["/bin/hello"],
                "ExposedPorts": {"8080/tcp": {}},
            },
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MEDIA + "manifest.v1+json",
            "config": _descriptor(config, "config.v1+json"),
            "layers": [_descriptor(layer, "layer.v1.tar")],
        }
    )
    named = _descriptor(manifest, "manifest.v1+json")
    named["annotations"] = {"org.opencontainers.image.ref.name": NAME}
    index = _json({"schemaVersion": 2, "mediaType": MEDIA + "index.v1+json", "manifests": [named]})
    tar = _Tar()
    tar.file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    tar.file("index.json", index)
    tar.folder("blobs")
    tar.folder("blobs/sha256")
    for blob in (config, manifest, layer):
        tar.file("blobs/sha256/" + _digest(blob).removeprefix("sha256:"), blob)
    return tar.close()


def _layer(busybox: bytes) -> bytes:
    tar = _Tar()
    tar.folder("bin")
    tar.file("bin/busybox", busybox, 0o755)
    tar.link("bin/sh", "busybox")
    tar.link("bin/httpd", "busybox")
    tar.file("bin/hello", HELLO, 0o755)
    tar.folder("www", owner=NOBODY)
    return tar.close()


class _Tar:
    """A tar archive in memory without anything of this machine in it."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._bytes, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115

    def file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(data), mode
        self._tar.addfile(entry, io.BytesIO(data))

    def folder(self, name: str, owner: int = 0) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, 0o755, owner, owner
        self._tar.addfile(entry)

    def link(self, name: str, target: str) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(entry)

    def close(self) -> bytes:
        self._tar.close()
        return self._bytes.getvalue()


def _descriptor(blob: bytes, kind: str) -> dict[str, object]:
    return {"mediaType": MEDIA + kind, "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return "sha256:" + hashlib.sha256(blob).hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


if __name__ == "__main__":
    sys.exit(main())
