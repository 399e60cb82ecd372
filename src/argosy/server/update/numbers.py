"""What the update service measures, for Prometheus."""

from __future__ import annotations

from prometheus_client import Gauge

from argosy.formats.updateapi import RolloutState
from argosy.server.metrics import Metrics
from argosy.server.update.service import UpdateService

# Anyone may invent versions and groups; labels must not grow without end.
_MOST_LABELS = 200
_OTHER = "other"
_STANDS = (RolloutState.STOPPED, RolloutState.ABORTED)


class Numbers:
    """Gauges over machines, channels and groups."""

    def __init__(self, service: UpdateService, metrics: Metrics) -> None:
        self._service = service
        self._machines = Gauge(
            "argosy_update_machines",
            "Machines known, by group, the version they run, and how far their update is.",
            ["app", "group", "version", "state"],
            registry=metrics.registry,
        )
        self._stopped = Gauge(
            "argosy_update_stopped_versions",
            "Versions that are not given out any more since a machine failed with them.",
            ["app", "group"],
            registry=metrics.registry,
        )
        self._rollouts = Gauge(
            "argosy_update_rollouts_stopped",
            "Groups in which a rollout does not go on until somebody looks at it: 1, else 0.",
            ["app", "group"],
            registry=metrics.registry,
        )
        self._packages = Gauge("argosy_update_packages", "Payloads kept.", ["app"], registry=metrics.registry)

    async def measure(self) -> None:
        """Bring them up to date."""
        self._machines.clear()
        counts = sorted((await self._service.counts()).items(), key=lambda item: item[1], reverse=True)
        for (app, group, version, state), number in counts[:_MOST_LABELS]:
            self._machines.labels(app, group, version, state.value).set(number)
        rest = sum(number for _, number in counts[_MOST_LABELS:])
        if rest:
            self._machines.labels(_OTHER, _OTHER, _OTHER, _OTHER).set(rest)
        self._stopped.clear()
        self._rollouts.clear()
        self._packages.clear()
        for known in self._service.applications():
            self._packages.labels(known).set(len(self._service.packages(known)))
            for its in await self._service.groups(known):
                self._stopped.labels(known, its.name).set(len(its.stopped))
            for found in await self._service.rollouts(known):
                self._rollouts.labels(known, found.group).set(found.state in _STANDS)
