"""A systemd that lives in memory and has the same interface: units change state as in the real one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from argosy.formats.unit import parse_unit
from argosy.node.systemd import RefusedError, SystemdError, UnitStatus, unit_path


class MemorySystemd:
    """Starts and stops take effect at once, but `finish` completes stops of slow* and starts of lazy*."""

    def __init__(self) -> None:
        self.on_change: Callable[[str], None] = lambda path: None
        self.log: list[tuple[str, str]] = []
        self.broken: set[str] = set()
        self.failing: set[str] = set()
        self.bad: set[str] = set()
        self._linked: dict[str, Path] = {}
        self._loaded: dict[str, str] = {}
        self._active: dict[str, str] = {}

    def running(self) -> set[str]:
        """The units that are active."""
        return {name for name, active in self._active.items() if active == "active"}

    def end(self, name: str, state: str = "failed") -> None:
        """The unit's process ends by itself."""
        self._set(name, state)

    def finish(self) -> None:
        """Whatever is starting or stopping has done so."""
        for name, active in list(self._active.items()):
            if active == "deactivating":
                self._set(name, "inactive")
            if active == "activating":
                self._set(name, "active")

    def reboot(self) -> None:
        """All is forgotten: links under /run, and what ran."""
        self._linked, self._loaded, self._active = {}, {}, {}

    async def states(self, names: Sequence[str]) -> dict[str, UnitStatus]:
        found = {}
        for name in names:
            active = self._active.get(name, "inactive")
            good = "bad-setting" if name in self.bad else "loaded"
            load = good if name in self._loaded else "not-found"
            found[name] = UnitStatus(load, active, "running" if active == "active" else "dead")
        return found

    async def link(self, paths: Sequence[Path]) -> None:
        for path in paths:
            if path.name in self.broken:
                raise SystemdError(f"{path.name} is broken")
            parse_unit(path.read_text(), source=str(path))
            self._linked[path.name] = path
            self.log.append(("link", path.name))

    async def enable(self, path: Path) -> None:
        self.log.append(("enable", path.name))

    async def disable(self, names: Sequence[str]) -> None:
        for name in names:
            self._linked.pop(name, None)
            self.log.append(("disable", name))

    async def reload(self) -> None:
        self._loaded = {name: path.read_text() for name, path in self._linked.items()}

    async def start(self, name: str) -> None:
        if name not in self._loaded:
            raise RefusedError(f"Unit {name} not found.")
        if name in self.bad:
            raise RefusedError(f"Unit {name} has a bad unit file setting.")
        self.log.append(("start", name))
        started = "activating" if name.startswith("lazy") else "active"
        self._set(name, "failed" if name in self.failing else started)

    async def stop(self, name: str) -> None:
        self.log.append(("stop", name))
        self._set(name, "deactivating" if name.startswith("slow") else "inactive")

    async def reset_failed(self, name: str) -> None:
        if name not in self._loaded:
            raise SystemdError(f"Unit {name} not loaded.")

    async def is_stopping_for_good(self, name: str) -> bool:
        return False

    def _set(self, name: str, state: str) -> None:
        self._active[name] = state
        self.on_change(unit_path(name))
