"""The units that fleet put on this machine: their files, what was done with them, and what systemd says.

Files lie in one folder under /run and are linked into systemd for the time until the next boot. Beside it one
file keeps a mark for each unit that was started, so that a restart of the daemon starts nothing anew.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from argosy.base.errors import ArgosyError, InputError
from argosy.base.files import replace_file
from argosy.formats.fleet import UnitTarget
from argosy.formats.unit import Option, parse_name, parse_unit, serialize, unit_hash
from argosy.node.fleet.model import Action, Load, Observed, Remove, Settle, Start, Stop
from argosy.node.systemd import Systemd, SystemdError, UnitStatus

log = logging.getLogger(__name__)

_ABSENT = UnitStatus("not-found", "inactive", "dead")


class Units:
    """Observes and changes. `folder` holds `units/` and `marks.json`."""

    def __init__(self, folder: Path, systemd: Systemd) -> None:
        self._files = folder / "units"
        self._marks_file = folder / "marks.json"
        self._systemd = systemd
        self._hashes: dict[str, tuple[tuple[int, int], str]] = {}
        self._stale = False
        self._files.mkdir(parents=True, exist_ok=True)
        self._marks = _read_marks(self._marks_file)

    async def observe(self) -> dict[str, Observed]:
        """All units of ours, by name."""
        hashes = self._read_hashes()
        states = await self._systemd.states(sorted(hashes))
        found = {}
        for name, content_hash in hashes.items():
            status = states.get(name, _ABSENT)
            mark = self._marks.get(name)
            found[name] = Observed(content_hash, status.load, status.active, status.sub, mark)
        return found

    async def perform(
        self, actions: Sequence[Action], contents: Mapping[str, Sequence[Option]]
    ) -> dict[str, ArgosyError]:
        """Do the actions in order; `contents` has the options of the units to load. Returns what failed.

        After a failure the other actions for the same unit are left out.
        """
        failed: dict[str, ArgosyError] = {}
        for action in actions:
            if action.unit in failed:
                continue
            try:
                await self._perform(action, contents)
                log.info("%s %s: %s", type(action).__name__.lower(), action.unit, action.reason)
            except ArgosyError as error:
                failed[action.unit] = error
                log.error("cannot %s %s: %s", type(action).__name__.lower(), action.unit, error)
        await self._reload()
        return failed

    async def _perform(self, action: Action, contents: Mapping[str, Sequence[Option]]) -> None:
        if isinstance(action, Load):
            await self._load(action.unit, contents[action.unit])
        elif isinstance(action, Start):
            await self._reload()
            await self._systemd.start(action.unit)
            self._mark(action.unit, UnitTarget.LAUNCHED)
        elif isinstance(action, Stop):
            await self._systemd.stop(action.unit)
            self._mark(action.unit, UnitTarget.LOADED)
        elif isinstance(action, Settle):
            self._mark(action.unit, None)
        else:
            assert isinstance(action, Remove)
            await self._remove(action.unit)

    async def _load(self, name: str, options: Sequence[Option]) -> None:
        path = self._files / name
        replace_file(path, serialize(options).encode())
        self._stale = True
        await self._systemd.link([path])
        if any(option.section == "Install" for option in options):
            await self._systemd.enable(path)

    async def _remove(self, name: str) -> None:
        await self._systemd.disable([name])
        with contextlib.suppress(SystemdError):
            # A unit that is not loaded any more has nothing to forget.
            await self._systemd.reset_failed(name)
        self._mark(name, None)
        self._stale = True
        (self._files / name).unlink(missing_ok=True)

    async def _reload(self) -> None:
        if self._stale:
            await self._systemd.reload()
            self._stale = False

    def _mark(self, name: str, mark: UnitTarget | None) -> None:
        before = dict(self._marks)
        if mark is None:
            self._marks.pop(name, None)
        else:
            self._marks[name] = mark
        if self._marks != before:
            replace_file(self._marks_file, json.dumps(self._marks, indent=1, sort_keys=True).encode())

    def _read_hashes(self) -> dict[str, str]:
        """The hash of each file; files that have not changed are not read again."""
        known, self._hashes = self._hashes, {}
        for path in sorted(self._files.iterdir()):
            try:
                parse_name(path.name)
                status = path.stat()
                stamp = (status.st_mtime_ns, status.st_ino)
                if known.get(path.name, (None, ""))[0] == stamp:
                    self._hashes[path.name] = known[path.name]
                else:
                    text = path.read_text(errors="replace")
                    self._hashes[path.name] = (stamp, unit_hash(parse_unit(text, source=str(path)).options))
            except FileNotFoundError:
                continue
            except InputError as error:
                log.debug("not a unit of ours: %s", error)
        return {name: content_hash for name, (_, content_hash) in self._hashes.items()}


def _read_marks(path: Path) -> dict[str, UnitTarget]:
    try:
        return {name: UnitTarget(mark) for name, mark in json.loads(path.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError) as error:
        # Without marks, units that run are started once more, which changes nothing for them.
        log.warning("%s is damaged (%s): ignored", path, error)
        return {}
