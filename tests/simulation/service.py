"""The update service: its own desk and policy, which decide from memory; only the disk is left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from argosy.formats.omaha import model as omaha
from argosy.formats.payload import APPLICATION_ID
from argosy.node.update.model import Answer
from argosy.node.update.omaha import understand
from argosy.node.update.problems import Code, problem
from argosy.server.update.catalogue import PUBLISH, Application
from argosy.server.update.desk import Caller, Desk
from argosy.server.update.model import Channel, Group, Limits, Package, Turn
from argosy.server.update.store import Change, Sighting
from argosy.server.update.waves import overdue
from argosy.server.update.writer import Writer

if TYPE_CHECKING:
    from tests.simulation.agenda import Agenda
    from tests.simulation.scenario import Scenario

GROUP = "stable"
ADDRESS = "http://updates.example/v1/update/"
_CALLER = Caller("192.0.2.1", "http://updates.example")
_NO_ANSWER = problem(Code.NO_ANSWER, "the update service cannot be reached")


class NoDisk(Writer):
    """Keeps nothing, for the simulated service is never restarted; it knows how many machines there are."""

    def __init__(self, machines: int) -> None:
        self.sizes = {(APPLICATION_ID, GROUP): machines}

    async def write(self, *changes: Change) -> None:
        pass

    def note(self, sighting: Sighting) -> None:
        pass

    async def room(self) -> None:
        pass


class Service:
    """One application with one group, on one channel. `wall_s` is its clock, in seconds since 1970."""

    def __init__(self, agenda: Agenda, scenario: Scenario, wall_s: Callable[[], float]) -> None:
        self.outage = False
        self.lost = scenario.faults.lost
        self.app = Application(APPLICATION_ID)
        self._agenda = agenda
        self._wall_s = wall_s
        channel = Channel(APPLICATION_ID, GROUP)
        self.app.put_channel(channel)
        self.app.put_group(Group(APPLICATION_ID, GROUP, channel, scenario.policy))
        self._desk = Desk({APPLICATION_ID: self.app}, NoDisk(scenario.machines), Limits(), wall_s)

    @property
    def group(self) -> Group:
        """The group, with what it has learnt."""
        return self.app.groups[GROUP]

    def publish(self, version: str) -> None:
        """The channel has this version from now on."""
        sha256 = f"{version:0>64}".replace(".", "a")
        now_s = self._wall_s()
        self.app.packages[sha256] = Package(APPLICATION_ID, version, sha256, "", 1, "update.payload", now_s)
        self.app.take_turn(GROUP, Turn(now_s, sha256, version, PUBLISH))

    def retry(self, version: str) -> None:
        """What `argosy resume --retry` does."""
        now_s = self._wall_s()
        going = self.app.going.get(GROUP)
        late = [each for each in going.open.values() if overdue(each, self.group, now_s)] if going else []
        if late or version in self.group.stopped:
            self.app.retry(GROUP, version, late)

    def ask(self, request: omaha.Request) -> Answer:
        """What the machine that sends `request` hears."""
        lost = self._agenda.happens(self.lost)
        if self.outage or (lost and self._agenda.happens(0.5)):
            return Answer(_NO_ANSWER.sentence, problem=_NO_ANSWER)
        response = self._answer(request)
        if lost:
            return Answer(_NO_ANSWER.sentence, problem=_NO_ANSWER)
        answer = understand(response, APPLICATION_ID, checked=request.apps[0].update_check is not None)
        return replace(answer, reads_progress=response.server == omaha.SERVER)

    def _answer(self, request: omaha.Request) -> omaha.Response:
        """Nothing in there waits, for there is no disk."""
        try:
            self._desk.answer(request, _CALLER).send(None)
        except StopIteration as done:
            response: omaha.Response = done.value
            return response
        raise AssertionError("the desk waits for something")
