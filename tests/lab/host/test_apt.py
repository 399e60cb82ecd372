"""Lines of apt-get, taken from real runs."""

from __future__ import annotations

import pytest

from argosy.lab.host.apt import AptNews, parse_news


@pytest.mark.parametrize(
    ("line", "news"),
    [
        ("0 upgraded, 62 newly installed, 0 to remove and 3 not upgraded.", AptNews(packages=62)),
        ("2 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.", AptNews(packages=3)),
        (
            "Get:1 http://mirror.example/debian bookworm/main amd64 uidmap amd64 1:4.13+dfsg1-1 [189 kB]",
            AptNews(note="fetch uidmap"),
        ),
        ("Unpacking libc6:amd64 (2.36-9) ...", AptNews(note="unpack libc6:amd64")),
        ("Setting up uidmap (1:4.13+dfsg1-1+b1) ...", AptNews(note="set up uidmap")),
        ("Selecting previously unselected package uidmap.", None),
        ("Get:1 http://mirror.example/debian bookworm InRelease [151 kB]", None),
        ("E: Unable to locate package foo", None),
        ("", None),
    ],
)
def test_lines(line: str, news: AptNews | None) -> None:
    assert parse_news(line) == news
