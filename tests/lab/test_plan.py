"""The planner, against a model of a host that is interrupted anywhere."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.lab.plan import Action, Observed, Power, Verb, Wanted, plan, stages

NAMES = ("core-01", "core-02", "core-03")


@dataclass
class Host:
    """A host that refuses what a real one could not do: to boot without a disk, to remove a disk in use..."""

    machines: tuple[str, ...] = NAMES
    exists: bool = True
    prepared: bool = False
    token: bool = False
    server: bool = False
    network: bool = False
    strays: bool = False
    created: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)

    def observe(self) -> Observed:
        return Observed(
            machines=self.machines,
            prepared=self.prepared,
            token=self.token,
            server=self.server,
            network=self.network,
            created=frozenset(self.created),
            running=frozenset(self.running),
        )

    def perform(self, action: Action) -> None:
        name = action.machine
        match action.verb:
            case Verb.PREPARE:
                self.prepared = True
            case Verb.START_SERVER:
                self.server = True
            case Verb.TAKE_TOKEN:
                assert self.server
                self.token = True
            case Verb.CREATE:
                assert self.prepared and name not in self.running
                self.created.add(name)
            case Verb.START_NETWORK:
                self.network = True
            case Verb.POWER_ON:
                assert self.network and self.server and self.token and name in self.created
                assert name not in self.running
                self.running.add(name)
                self.strays = True  # an ssh connection
            case Verb.SHUT_DOWN | Verb.CUT_POWER:
                assert name in self.running
                self.running.discard(name)
            case Verb.STOP_NETWORK:
                assert not self.running
                self.network = False
            case Verb.STOP_SERVER:
                assert not self.running
                self.server = False
            case Verb.END_STRAYS:
                self.strays = False
            case Verb.REMOVE_MACHINE:
                assert name not in self.running
                self.created.discard(name)
            case Verb.REMOVE_CLUSTER:
                assert not (self.running or self.created or self.network or self.server or self.strays)
                self.exists = self.prepared = self.token = False


@st.composite
def hosts(draw: st.DrawFn) -> Host:
    """Any state, also such as no sequence of actions leads to: processes die, files are removed by hand."""
    created = draw(st.sets(st.sampled_from(NAMES)))
    return Host(
        prepared=draw(st.booleans()),
        token=draw(st.booleans()),
        server=draw(st.booleans()),
        network=draw(st.booleans()),
        strays=draw(st.booleans()),
        created=created,
        running={name for name in created if draw(st.booleans())},
    )


wanted_states = st.one_of(
    st.just(Wanted(False)),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from(Power)).map(lambda power: Wanted(True, power)),
)


def is_reached(wanted: Wanted, host: Host) -> bool:
    if not wanted.exists:
        return not (host.exists or host.created or host.running or host.network or host.server or host.strays)
    on = {name for name, power in wanted.power.items() if power is Power.ON}
    off = set(wanted.power) - on
    shared_is_right = not on or (host.network and host.server)
    rest_is_gone = off != set(NAMES) or not (host.network or host.server or host.strays)
    return on <= host.running and not off & host.running and shared_is_right and rest_is_gone


@given(hosts(), st.lists(st.tuples(wanted_states, st.integers(0, 20)), max_size=4), wanted_states)
def test_planning_again_after_any_interruption_reaches_what_is_wanted(
    host: Host, interrupted: list[tuple[Wanted, int]], last: Wanted
) -> None:
    for wanted, done in interrupted:
        for action in plan(wanted, host.observe())[:done]:
            host.perform(action)
        host.exists = True
    for action in plan(last, host.observe()):
        host.perform(action)
    assert is_reached(last, host)


@given(hosts(), wanted_states, st.data())
def test_machines_of_one_stage_may_be_done_in_any_order_and_in_part(
    host: Host, wanted: Wanted, data: st.DataObject
) -> None:
    for stage in stages(plan(wanted, host.observe())):
        part = data.draw(st.lists(st.sampled_from(stage), unique=True))
        for action in part:
            host.perform(action)
        if len(part) < len(stage):
            break
    for action in plan(wanted, host.observe()):
        host.perform(action)
    assert is_reached(wanted, host)


@given(hosts(), wanted_states)
def test_what_is_reached_is_left_alone(host: Host, wanted: Wanted) -> None:
    for action in plan(wanted, host.observe()):
        host.perform(action)
    if wanted.exists and Power.ON in wanted.power.values():
        assert plan(wanted, host.observe()) == []


@given(hosts(), wanted_states)
def test_machines_that_are_not_named_stay_as_they_are(host: Host, wanted: Wanted) -> None:
    if wanted.exists:
        named = {action.machine for action in plan(wanted, host.observe()) if action.machine}
        assert named <= set(wanted.power)


def test_a_new_cluster_in_words() -> None:
    actions = plan(Wanted(True, dict.fromkeys(("core-01",), Power.ON)), Observed(machines=("core-01",)))
    assert [f"{action.verb.value} {action.machine}".strip() for action in actions] == [
        "copy the release",
        "start the cluster's server",
        "take a discovery token",
        "make the disk core-01",
        "start the network",
        "power on core-01",
    ]
    assert all(action.reason for action in actions)


@pytest.mark.parametrize("wanted", [Wanted(True), Wanted(True, {})])
def test_nothing_wanted_is_nothing_done(wanted: Wanted) -> None:
    assert plan(wanted, Observed(machines=NAMES)) == []
