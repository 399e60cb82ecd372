"""(what the probes say, how long the machine is up) -> whether the version on trial is good. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from argosy.node.health.model import Decision, Result, Verdict


def judge(results: Sequence[Result], up_s: float, deadline_s: float) -> Verdict:
    """All probes must pass in one round, before the machine is up for `deadline_s`."""
    failing = [result for result in results if not result.passed]
    if not failing:
        return Verdict(Decision.COMMIT, f"all {len(results)} health probes pass after {up_s:.0f} s")
    what = "; ".join(f"{result.name}: {result.detail}" for result in failing)
    if up_s < deadline_s:
        return Verdict(Decision.WAIT, what)
    return Verdict(Decision.REJECT, f"not healthy within {deadline_s:.0f} s: {what}")
