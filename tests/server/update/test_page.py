"""The page: what it says, that it is HTML, and that machines' own words stay words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.formats.updateapi import (
    Channel,
    Event,
    Group,
    Key,
    Machine,
    MachineDetail,
    Machines,
    Overview,
    Package,
    Policy,
    Rollout,
    RolloutState,
    State,
    Stop,
    Turn,
    Wave,
    Window,
)
from argosy.server.update.page import render_failure, render_machine, render_machines, render_overview

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
APP = "{e96281a6-d1af-4bde-9a0a-97b76e56dc57}"
HOSTILE = "\"'><script>alert(1)</script><!-- {{ 7*7 }} \u202e"
KEY = Key("0123456789abcdef", "release-2026", development=False)
PACKAGE = Package(
    APP, "4892.0.0", "ab" * 32, 148_200_000, "6.12.48", "4880.0.0", (KEY,), "/packages/ab/update.payload", NOW
)
CHANNEL = Channel(
    APP,
    "stable",
    PACKAGE,
    "4880.0.0",
    ("4885.0.0",),
    (Turn(NOW - timedelta(hours=3), "4892.0.0", "promote"), Turn(NOW, "4890.0.0", "publish")),
)
POLICY = Policy(rate_updates=10, windows=(Window(("sat", "sun"), "22:00", "04:00"),), safe_mode=True)
GROUP = Group(APP, "stable", "stable", POLICY, (), {"current": 2, "waiting": 1})
MACHINE = Machine(
    APP,
    "3f9a51c2d8e94b7a8c1de0a4f9b3c255",
    "stable",
    "4890.0.0",
    State.WAITING,
    "its window opens at 22:00",
    NOW,
)
FELL_BACK = replace(
    MACHINE,
    id="77" * 16,
    alias="rack4-07",
    state=State.FELL_BACK,
    reason="the kernel panicked",
    bad=("4892.0.0",),
)
EVENT = Event(NOW, "finished the download of 4892.0.0", MACHINE.id, "stable", "4892.0.0", 14, 1)
OVERVIEW = Overview(NOW, (CHANNEL,), (GROUP,), (MACHINE,), 1, (EVENT,))

ROLLOUT = Rollout(
    APP,
    "stable",
    "stable",
    "4892.0.0",
    RolloutState.ROLLING,
    "2 of 3 machines run 4892.0.0",
    NOW,
    machines_total=3,
    machines_done=2,
    machines_taking=1,
    wave=Wave(2, 2, 3),
)

VOID = {"meta", "link", "br"}
BLOCKS = {"td", "th", "dt", "dd", "li", "p", "h1", "h2"}


class Page(HTMLParser):
    """Reads strictly: every element that begins must end, in its order. Keeps the text and the elements."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        assert html.startswith("<!doctype html>\n<html lang=")
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), attrs
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag in BLOCKS:
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def links(self) -> list[str]:
        return [attrs["href"] or "" for tag, attrs in self.tags if tag == "a"]


def overview_page(overview: Overview = OVERVIEW, **changes: object) -> Page:
    return Page(render_overview(replace(overview, **changes), [PACKAGE], [APP], APP))


def test_it_shows_channels_groups_machines_versions_and_events() -> None:
    text = overview_page().text
    assert "stable 4892.0.0 3 h ago promote 4880.0.0 4885.0.0 4890.0.0" in text
    assert "one machine first, at most 10 in 1 h, only sat,sun 22:00-04:00 (UTC), 1 h to finish" in text
    assert "1 waiting 2 current" in text
    assert "3f9a51c2 stable 4890.0.0 waiting just now its window opens at 22:00" in text
    assert "4892.0.0 stable release-2026 0123456789abcdef 6.12.48 148.2 MB" in text
    assert "finished the download of 4892.0.0" in text
    assert "development" not in text


def test_a_fallback_is_named_with_machine_and_reason() -> None:
    page = overview_page(machines=(FELL_BACK,))
    assert (
        "a machine fell back to 4890.0.0 in group stable just now rack4-07 (77777777): the kernel panicked"
        in page.text
    )
    assert f"/updates/machines/{'77' * 16}" in page.links()


def test_a_stopped_version_is_named_once_with_machine_and_reason() -> None:
    stop = Stop("4892.0.0", NOW - timedelta(minutes=5), FELL_BACK.id, "/usr is corrupt")
    page = overview_page(machines=(FELL_BACK,), groups=(replace(GROUP, stopped=(stop,)),))
    assert "4892.0.0 is stopped for group stable 5 min ago rack4-07 (77777777): /usr is corrupt" in page.text
    assert "fell back to" not in page.text
    assert [attrs["role"] for tag, attrs in page.tags if attrs.get("role")] == ["alert"]


def test_a_rollout_is_shown_with_its_wave_and_its_machines() -> None:
    idle = replace(ROLLOUT, group="alpha", version=None, state=RolloutState.IDLE)
    busy = replace(MACHINE, state=State.DOWNLOADING, percent=42, reason="downloads 4892.0.0")
    page = overview_page(rollouts=(idle, ROLLOUT), machines=(busy,))
    assert "stable 4892.0.0 rolling 2 of 2 2 of 3, 1 on the way 2 of 3 machines run 4892.0.0" in page.text
    assert "alpha" not in page.text
    assert ("progress", {"max": "3", "value": "2"}) in page.tags
    assert "3f9a51c2 stable 4890.0.0 downloading 42% just now downloads 4892.0.0" in page.text


def test_what_a_person_withdrew_and_who_is_late_are_named() -> None:
    aborted = Stop("4892.0.0", NOW, "", "a person aborted its rollout")
    page = overview_page(groups=(replace(GROUP, stopped=(aborted,)),))
    assert "4892.0.0 is withdrawn for group stable just now a person aborted its rollout" in page.text
    late = replace(
        ROLLOUT, state=RolloutState.STOPPED, reason="not heard of", culprit="88" * 16, culprit_name="core-03"
    )
    page = overview_page(rollouts=(late,))
    assert "4892.0.0 waits in group stable just now core-03 (88888888): not heard of" in page.text


def test_a_development_key_is_shown_wherever_it_signed() -> None:
    package = replace(PACKAGE, keys=(Key("00" * 8, "development", development=True),))
    channel = replace(CHANNEL, package=package)
    html = render_overview(replace(OVERVIEW, channels=(channel,)), [package], [APP], APP)
    text = Page(html).text
    assert "is signed by a development key" in text
    assert "stable 4892.0.0 development key" in text
    assert "development key development 0000000000000000" in text


def test_an_empty_service_says_what_to_do() -> None:
    html = render_overview(
        Overview(NOW, (replace(CHANNEL, package=None, history=()),), (), (), 0, ()), [], [APP]
    )
    text = Page(html).text
    assert "None has asked for updates yet" in text
    assert "argosy publish VERSION --channel stable" in text


def test_other_applications_are_linked_and_keep_their_own_links() -> None:
    page = Page(render_overview(OVERVIEW, [], [APP, "other"], "other"))
    assert page.links()[:2] == ["/updates", "/updates?app=other"]
    assert f"/updates/machines/{MACHINE.id}?app=other" in page.links()


def test_there_are_more_machines_than_shown() -> None:
    assert "1 of 5. All machines" in overview_page(machines_total=5).text


def test_lists_of_machines() -> None:
    html = render_machines(Machines((MACHINE,), "3f"), "stable", State.WAITING, APP, NOW)
    page = Page(html)
    assert "Machines of group stable: waiting" in page.text
    assert "/updates/machines?group=stable&state=fell+back" in page.links()
    assert "/updates/machines?group=stable&state=waiting&after=3f" in page.links()
    assert "None." in Page(render_machines(Machines((), None), None, None, APP, NOW)).text


def test_a_machine() -> None:
    page = Page(render_machine(MachineDetail(FELL_BACK, (EVENT,)), APP, NOW))
    assert "fell back the kernel panicked" in page.text
    assert "Tried in vain 4892.0.0" in page.text
    assert "finished the download" in page.text


def hostile_pages(text: str) -> list[str]:
    machine = replace(
        MACHINE, id=text, alias=text, group=text, reason=text, version=text, oem=text, address=text
    )
    stop = Stop(text, NOW, machine.id, text)
    group = replace(GROUP, name=text, stopped=(stop,))
    event = replace(EVENT, machine=machine.id, text=text)
    rollout = replace(ROLLOUT, state=RolloutState.STOPPED, reason=text, culprit="x", culprit_name=text)
    overview = replace(
        OVERVIEW,
        groups=(group,),
        machines=(machine, replace(machine, state=State.FAILED)),
        events=(event,),
        rollouts=(rollout,),
    )
    return [
        render_overview(overview, [PACKAGE], [APP, text], text),
        render_machines(Machines((machine,), machine.id), text, None, text, NOW),
        render_machine(MachineDetail(machine, (event,)), text, NOW),
        render_failure(text, text),
    ]


@given(st.text(min_size=1) | st.just(HOSTILE))
def test_hostile_words_stay_words(text: str) -> None:
    """Whatever a machine calls itself, the page has the same elements as for a plain name."""
    for hostile, plain in zip(hostile_pages(text), hostile_pages("plain"), strict=True):
        assert [tag for tag, _ in Page(hostile).tags] == [tag for tag, _ in Page(plain).tags]


def test_the_hostile_name_itself() -> None:
    for html in hostile_pages(HOSTILE):
        assert "<script>" not in html
        assert "49" not in Page(html).words
        assert 'href="javascript' not in html


@pytest.mark.parametrize("text", ["a/b", "../x", "?x#y", " "])
def test_links_to_machines_with_odd_ids(text: str) -> None:
    page = overview_page(machines=(replace(MACHINE, id=text),), events=(), groups=())
    [link] = [link for link in page.links() if link.startswith("/updates/machines/")]
    assert "?" not in link
    assert "#" not in link
    assert link.count("/") == 3
