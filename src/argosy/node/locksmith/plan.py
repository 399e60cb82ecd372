"""What locksmith does next: pure. (what was observed) -> one action, with its reason in words.

Every step is decided from what is observed: whoever is killed after any action goes on from there. A lock of
an earlier boot is given back when the machine is back; a lock of this boot is kept only as long as nothing
keeps the machine from rebooting, so that it keeps nobody waiting for nothing.
"""

from __future__ import annotations

from argosy.formats.duration import spoken
from argosy.formats.rebootlock import Holding, Semaphore
from argosy.formats.rebootwhy import State
from argosy.node.locksmith.model import (
    Action,
    Back,
    Decision,
    Drain,
    Lock,
    Observed,
    Reboot,
    Settings,
    Strategy,
    Unlock,
    Wait,
    Warn,
)
from argosy.node.locksmith.rule import age_s, described, gone, why_not
from argosy.node.locksmith.windows import next_open, open_until

AWAY_GRACE_S = 60.0
"""How long etcd has to be away before best-effort does without it: at boot it starts later than we do."""

SETTLE_S = 10.0
"""How long a machine has to lack nothing before it counts as back: units may be on their way to it."""

_REBOOT_TAKES_S = 600.0
# So many holders are named: those that seem to be gone first, then those that have held for longest.
_NAMED = 3
_RUNS = ("active", "activating", "reloading", "deactivating")


def plan(seen: Observed) -> Decision:
    """The next action."""
    if seen.going_down:
        return Decision(Wait(), "the machine is going down", State.REBOOTING)
    if seen.settings is None:
        return Decision(
            Wait(),
            f"the settings are wrong: {seen.settings_problem}",
            hint="correct the file; locksmithd sees the change by itself",
        )
    return _former_lock(seen) or _refusal(seen, seen.settings) or _next_step(seen, seen.settings)


def not_back(back: Back, *, own_member_healthy: bool) -> str:
    """What a machine still lacks before it counts as back, in words; empty if nothing."""
    if back.slot_problem:
        return f"it is not known whether its slot is committed: {back.slot_problem}"
    if back.in_trial:
        return "its version is still on trial"
    if back.member != "inactive" and not own_member_healthy:
        return f"its etcd member is not healthy ({back.member})"
    if back.fleet == "unregistered":
        return "fleet has not registered it"
    if back.idle:
        return f"units due on it do not run: {', '.join(back.idle)}"
    return ""


def lacks(seen: Observed) -> str:
    """What this machine lacks before it counts as back, in words; empty if nothing."""
    own = next((member for member in seen.cluster.members if member.id == seen.cluster.own), None)
    return not_back(seen.back, own_member_healthy=own is not None and own.healthy)


def is_of_former_boot(holding: Holding, seen: Observed) -> bool:
    """Whether a lock of ours was taken before this boot; so says one of which nothing is known."""
    if holding.boot:
        return holding.boot != seen.boot_id
    return holding.since_s < seen.now_s - seen.up_s


def _former_lock(seen: Observed) -> Decision | None:
    """A lock from before the reboot comes first, whatever the strategy is now."""
    if seen.locks is None:
        return None
    for group, holding in seen.locks.held_by(seen.machine_id).items():
        if not is_of_former_boot(holding, seen):
            continue
        if missing := lacks(seen):
            return Decision(
                Wait(again_s=5),
                f"this machine is back, but keeps the lock: {missing}",
                hint="the lock goes by itself when that is mended; `locksmithctl unlock` frees it now",
            )
        since_s = seen.up_s if seen.memory.well_since_s is None else seen.memory.well_since_s
        if (left_s := since_s + SETTLE_S - seen.up_s) > 0:
            return Decision(Wait(again_s=left_s), "this machine is back; it keeps the lock a moment longer")
        return Decision(Unlock(group, seen.machine_id), "the machine is back and healthy")
    return None


def _refusal(seen: Observed, settings: Settings) -> Decision | None:
    """Why there must be no reboot now, apart from other machines; a lock that we have goes back first."""
    decision = _unwanted(seen, settings) or _not_the_time(seen, settings)
    if decision is None:
        return _wrong_group(seen, settings)
    group = _own_lock(seen)
    if group is None:
        return decision
    return Decision(
        Unlock(group, seen.machine_id), f"the lock is not needed: {decision.reason}", decision.state
    )


def _unwanted(seen: Observed, settings: Settings) -> Decision | None:
    if settings.strategy is Strategy.OFF:
        return Decision(
            Wait(),
            "REBOOT_STRATEGY=off: this machine reboots only when a person does it",
            State.DISABLED,
            hint="`sudo locksmithctl reboot` takes the lock and reboots" if seen.wanted else "",
        )
    if not seen.wanted:
        return Decision(Wait(), "no reboot is wanted")
    return None


def _not_the_time(seen: Observed, settings: Settings) -> Decision | None:
    if settings.windows and open_until(settings.windows, seen.now) is None:
        opens = next_open(settings.windows, seen.now)
        if opens is None:
            return _planned(Wait(), "no reboot window ever opens")
        local = opens.astimezone(seen.now.tzinfo)
        return _planned(
            Wait(again_s=(opens - seen.now).total_seconds()),
            f"the next reboot window opens on {local:%a %Y-%m-%d at %H:%M %Z}",
        )
    if seen.postponed_until_s is not None and seen.up_s < seen.postponed_until_s:
        left_s = seen.postponed_until_s - seen.up_s
        return _planned(Wait(again_s=left_s), f"a user postponed the reboot by {spoken(left_s)} more")
    return None


def _wrong_group(seen: Observed, settings: Settings) -> Decision | None:
    """The machine's group was changed while it held a lock."""
    group = _own_lock(seen)
    if group is None or group == settings.access.group:
        return None
    return Decision(Unlock(group, seen.machine_id), "the machine is in another group now")


def _own_lock(seen: Observed) -> str | None:
    """The group in which locksmithd itself took a lock in this boot; None if it did not."""
    held = seen.locks.held_by(seen.machine_id) if seen.locks else {}
    return next((group for group, holding in held.items() if holding.daemon), None)


def _next_step(seen: Observed, settings: Settings) -> Decision:
    if settings.strategy is Strategy.REBOOT:
        return _go_down(seen, settings)
    if seen.locks is None:
        return _without_etcd(seen, settings)
    refused = why_not(seen.cluster, seen.locks.holders(), seen.machine_id)
    group = settings.access.group
    if seen.machine_id in seen.locks.of(group).ids:
        if not refused:
            return _go_down(seen, settings)
        if _own_lock(seen) is None:
            return _planned(Wait(), refused)
        return _planned(Unlock(group, seen.machine_id), f"the lock goes back: {refused}")
    semaphore = seen.locks.of(group)
    if (stale := _stale(seen, settings, semaphore)) is not None:
        return stale
    if semaphore.semaphore <= 0:
        return _full(seen, semaphore)
    if refused:
        return _planned(Wait(), refused)
    return _take_lock(seen, settings, semaphore)


def _without_etcd(seen: Observed, settings: Settings) -> Decision:
    problem = f"etcd does not answer ({seen.etcd_problem})"
    if settings.strategy is Strategy.ETCD_LOCK:
        return _planned(Wait(), f"{problem}: no reboot without the lock")
    if seen.member in _RUNS:
        return _planned(Wait(), f"{problem}, but this machine runs a member: no reboot without it")
    away_s = seen.up_s - (seen.up_s if seen.memory.away_since_s is None else seen.memory.away_since_s)
    if away_s < AWAY_GRACE_S:
        return _planned(Wait(again_s=AWAY_GRACE_S - away_s), f"{problem}: waiting a little for it")
    return _go_down(seen, settings)


def _take_lock(seen: Observed, settings: Settings, semaphore: Semaphore) -> Decision:
    since_s = seen.now_s - semaphore.released_s
    # A release in the future was written by a machine whose clock is wrong.
    if 0 <= since_s < settings.delay_s:
        left_s = settings.delay_s - since_s
        return _planned(
            Wait(again_s=left_s), f"the machine before was back {spoken(since_s)} ago (REBOOT_DELAY)"
        )
    return _planned(Lock(settings.access.group), "nothing keeps this machine from rebooting but the lock")


def _stale(seen: Observed, settings: Settings, semaphore: Semaphore) -> Decision | None:
    """A lock to free because its machine is gone for long; None unless STALE_LOCK_AFTER is set."""
    if settings.stale_after_s is None:
        return None
    for holder in semaphore.ids:
        holding = semaphore.holding.get(holder, Holding())
        since_s = seen.memory.gone_since_s.get(holder, seen.up_s)
        long = seen.up_s - since_s >= settings.stale_after_s
        if long and age_s(holding, seen.now_s) is not None and gone(seen.cluster, holder, holding):
            sentence = described(holder, holding, seen.cluster, seen.now_s)
            return _planned(
                Unlock(settings.access.group, holder), f"a stale lock is freed: held by {sentence}"
            )
    return None


def _full(seen: Observed, semaphore: Semaphore) -> Decision:
    known = {holder: semaphore.holding.get(holder, Holding()) for holder in semaphore.ids}
    if not known:
        return _planned(
            Wait(),
            f"there is no lock to take: max is {semaphore.max}",
            hint="`locksmithctl set-max 1` lets machines reboot",
        )
    stale = {each for each in known if gone(seen.cluster, each, known[each])}
    first = sorted(known, key=lambda each: (each not in stale, known[each].since_s, each))
    who = "; ".join(described(each, known[each], seen.cluster, seen.now_s) for each in first[:_NAMED])
    who += f"; and {len(first) - _NAMED} more" if len(first) > _NAMED else ""
    hint = "`locksmithctl unlock ID` frees a lock whose machine does not come back" if stale else ""
    return _planned(Wait(), f"the lock is held by {who}", hint=hint)


def _go_down(seen: Observed, settings: Settings) -> Decision:
    """Nothing of other machines is in the way: units move, users are warned, the machine reboots."""
    memory = seen.memory
    if memory.reboot_sent_s is not None and seen.up_s - memory.reboot_sent_s < _REBOOT_TAKES_S:
        return Decision(Wait(), "the reboot was asked for", State.REBOOTING, under_way=True)
    if not memory.drained:
        began_s = seen.up_s if memory.drain_began_s is None else memory.drain_began_s
        last = seen.up_s - began_s >= settings.drain_s
        return _under_way(Drain(last), "its units move to other machines")
    warning_s = _warning_s(seen, settings)
    if seen.users and memory.warned_s is None and warning_s > 0:
        return _under_way(Warn(warning_s), f"users are at a terminal: {', '.join(seen.users)}")
    if seen.users and memory.warned_s is not None and seen.up_s < memory.warned_s + warning_s:
        left_s = memory.warned_s + warning_s - seen.up_s
        return _under_way(
            Wait(again_s=left_s),
            f"users were warned ({', '.join(seen.users)}); it reboots in {spoken(left_s)}",
            hint="`sudo locksmithctl postpone` puts it off once",
        )
    return Decision(Reboot(), seen.wanted, State.REBOOTING, under_way=True)


def _warning_s(seen: Observed, settings: Settings) -> float:
    """How long users are warned ahead: a short window must not close over it."""
    lengths_s = [window.length_s for window in settings.windows]
    return min([settings.warning_s, *(length_s / 3 for length_s in lengths_s)])


def _planned(action: Action, reason: str, hint: str = "") -> Decision:
    return Decision(action, reason, State.REBOOT_PLANNED, hint)


def _under_way(action: Action, reason: str, hint: str = "") -> Decision:
    return Decision(action, reason, State.REBOOT_PLANNED, hint, under_way=True)
