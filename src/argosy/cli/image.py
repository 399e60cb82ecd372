"""The commands of the image room."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from argosy.base.cli import print_json
from argosy.cli.keys import DEVELOPMENT_NOTE
from argosy.cli.releases import print_removed
from argosy.formats.release import CHANNELS
from argosy.formats.version import parse_version

_DESCRIPTION = """\
Build a release: a disk image, its verified /usr, kernel and initrd, the signed update payload, the list of
packages, and checksums. What has not changed is not built again. The same inputs give the same bytes.
The first build makes a development key; see `argosy keys --help`.
"""

_EPILOG = """\
examples:
  argosy build                               today's release, in ~/.local/share/argosy/releases
  argosy build --version 4891.2.0 --channel beta --out ./release
  argosy build --manifest my.toml            with your own packages and files; see os/manifest.toml
  argosy build --refresh                     with the newest packages of Debian
  argosy build --verify ./release            build it again, compare every file, check the payload
"""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this room's commands to the command `argosy`."""
    build = commands.add_parser(
        "build",
        help="build a release",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    build.add_argument("--version", metavar="V", help="the release's version (default: the day's)")
    build.add_argument("--channel", choices=CHANNELS, default="stable", help="default: %(default)s")
    build.add_argument("--out", metavar="DIR", type=Path, help="the release folder")
    build.add_argument("--manifest", metavar="FILE", type=Path, help="extends the image's manifest")
    build.add_argument("--keys", metavar="DIR", type=Path, help="the keys that sign (see `argosy keys`)")
    build.add_argument("--verify", metavar="RELEASE", type=Path, help="build this release again and compare")
    build.add_argument("--refresh", action="store_true", help="fetch packages and tools anew")
    build.add_argument("--json", action="store_true", help="print the result as JSON")
    build.set_defaults(handler=_build)


def _build(arguments: argparse.Namespace) -> int:
    from argosy.cli.progress import terminal_progress
    from argosy.image.build import Request, ensure_release, release_sizes
    from argosy.lab.releases import prune_automatic
    from argosy.lab.wiring import open_store

    if arguments.verify:
        return _verify(arguments)
    request = Request(
        version=parse_version(arguments.version) if arguments.version else None,
        channel=arguments.channel,
        out=arguments.out.absolute() if arguments.out else None,
        manifest=arguments.manifest,
        keys=arguments.keys,
        refresh=arguments.refresh,
    )
    with terminal_progress() as progress:
        built = ensure_release(request, progress)
        sizes = release_sizes(built, progress)
        removed = [] if built.reused else prune_automatic(open_store(), progress)
    if arguments.json:
        print_json(
            {
                "folder": str(built.folder),
                "reused": built.reused,
                "release": built.release,
                "sizes": sizes,
                "removed": [release.version for release in removed],
            }
        )
        return 0
    print(
        f"release {built.release.version} ({built.release.channel}){' is up to date' if built.reused else ''}"
    )
    for what, size in sizes.items():
        print(f"  {what.removesuffix('_bytes').replace('_', ' '):<12}{size / 1e6:8.1f} MB")
    print(f"  in          {built.folder}")
    for key in built.release.keys:
        print(f"  signed by   {key.name} ({key.id}){DEVELOPMENT_NOTE if key.development else ''}")
    print_removed(removed)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from argosy.cli.progress import terminal_progress
    from argosy.image.build import verify_release

    with terminal_progress() as progress:
        result = verify_release(
            arguments.verify.absolute(), arguments.manifest, progress, keys=arguments.keys
        )
    same = not (result.not_reproduced or result.altered or result.refused)
    if arguments.json:
        print_json({"same": same, **asdict(result)})
        return 0 if same else 1
    for name in result.altered:
        print(f"{name}: not as release.json describes it")
    for name in result.not_reproduced:
        print(f"{name}: another build of the same inputs differs")
    if result.refused:
        print(f"machines would refuse it: {result.refused}")
    if same:
        print("every file is the same, byte for byte, and the update payload is sound")
    return 0 if same else 1
