from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.formats.cloudconfig import check_user_data, parse_cloud_config
from argosy.lab.userdata import DEFAULT, PLACEHOLDER, with_discovery, with_update_server

SERVICE = "http://10.0.2.2:29001/v1/update/"
URL = "http://10.0.2.2:29001/0123456789abcdef0123456789abcdef"


def discovery_of(text: str, section: str = "etcd2") -> list[str]:
    config, report = parse_cloud_config(text, "test")
    assert not report.errors, report
    return [value for name, value in getattr(config, section) if name == "ETCD_DISCOVERY"]


def test_the_default_is_valid_and_gets_the_token() -> None:
    assert check_user_data(DEFAULT, "default").findings == ()
    text = with_discovery(DEFAULT, URL)
    assert discovery_of(text) == [URL]
    assert text.replace(f"discovery: '{URL}'\n    ", "") == DEFAULT
    assert [unit.command for unit in parse_cloud_config(text, "default")[0].units] == ["start", "start"]


@pytest.mark.parametrize(
    "body",
    [
        "coreos:\n  etcd2:\n    name: a\n",
        "coreos:\n  etcd2:\n      # a comment\n      name: a\n      proxy: on\n",
        "coreos:\n    etcd2: {name: a}\n",
        "coreos: {etcd2: {name: a}}\n",
        "coreos:\r\n  etcd2:\r\n    name: a\r\n",
        f"coreos:\n  etcd2:\n    discovery: {PLACEHOLDER}\n",
        f"coreos:\n  etcd2:\n    # discovery: {PLACEHOLDER}\n    name: a\n",
        "hostname: ü\ncoreos:\n  etcd2:\n    name: a\n",
    ],
)
def test_etcd_without_a_way_to_find_its_peers_gets_the_token(body: str) -> None:
    assert discovery_of(with_discovery("#cloud-config\n" + body, URL)) == [URL]


def test_the_older_section_too() -> None:
    text = "#cloud-config\ncoreos:\n  etcd2:\n    name: a\n  etcd:\n    name: b\n"
    assert discovery_of(with_discovery(text, URL)) == [URL]
    assert discovery_of(with_discovery(text, URL), "etcd") == [URL]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#!/bin/sh\necho 'coreos: {etcd2: {name: a}}'\n",
        '{"ignition": {"version": "3.0.0"}}',
        "#cloud-config\nhostname: a\n",
        "#cloud-config\ncoreos:\n",
        "#cloud-config\ncoreos:\n  etcd2:\n",
        "#cloud-config\ncoreos:\n  etcd2: {}\n",
        "#cloud-config\ncoreos:\n  etcd2:\n    discovery: https://discovery.example.com/1\n",
        "#cloud-config\ncoreos:\n  etcd2:\n    initial_cluster: a=http://10.0.0.1:2380\n",
        "#cloud-config\ncoreos:\n  etcd2:\n    initial-cluster: a=http://10.0.0.1:2380\n",
        "#cloud-config\ncoreos:\n  units:\n    - name: etcd2.service\n      command: start\n",
    ],
)
def test_all_else_stays_as_the_user_wrote_it(text: str) -> None:
    assert with_discovery(text, URL) == text


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=10), max_size=4))
def test_only_one_line_differs(values: dict[str, str]) -> None:
    import yaml

    section = {"name": "a", **{f"x{key}": value for key, value in values.items()}}
    text = "#cloud-config\n" + yaml.safe_dump({"coreos": {"etcd2": section}, "z": values}, allow_unicode=True)
    result = with_discovery(text, URL)
    expected = yaml.safe_load(text)
    expected["coreos"]["etcd2"]["discovery"] = URL
    assert yaml.safe_load(result) == expected


def update_of(text: str) -> list[tuple[str, str]]:
    config, report = parse_cloud_config(text, "test")
    assert not report.errors, report
    return list(config.update)


def test_the_default_names_the_clusters_update_service() -> None:
    text = with_update_server(with_discovery(DEFAULT, URL), SERVICE)
    assert update_of(text) == [("SERVER", SERVICE)]
    assert discovery_of(text) == [URL]
    assert check_user_data(text, "default").findings == ()


@pytest.mark.parametrize(
    "body",
    [
        "hostname: a\n",
        "coreos:\n  update:\n    group: beta\n",
        "coreos:\n  update:\n    # a comment\n    group: beta\n    reboot-strategy: off\n",
        "coreos:\n    update: {group: beta}\n",
        "coreos: {update: {group: beta}}\n",
        "coreos: {update: {}}\n",
        "coreos: {}\n",
        "coreos:\n  update:\n  units:\n    - name: a.service\n",
        "coreos:\n",
        "coreos:\nhostname: a\n",
        "coreos:\n  units:\n    - name: a.service\n",
        "coreos:\r\n  units:\r\n    - name: a.service\r\n",
        "{hostname: a}\n",
        "hostname: ü\ncoreos:\n  update:\n    group: beta\n",
    ],
)
def test_machines_learn_of_the_update_service(body: str) -> None:
    text = "#cloud-config\n" + body
    result = with_update_server(text, SERVICE)
    assert ("SERVER", SERVICE) in update_of(result)
    assert set(update_of(text)) <= set(update_of(result))
    assert with_update_server(result, "http://other/") == result


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#cloud-config\n",
        "#!/bin/sh\ntrue\n",
        '{"ignition": {"version": "3.0.0"}}',
        "#cloud-config\ncoreos:\n  update:\n    server: https://updates.example.com/v1/update/\n",
        "#cloud-config\ncoreos: {update: {server: https://updates.example.com/v1/update/}}\n",
        "#cloud-config\ncoreos:\n  update:\n    server: ''\n",
        "#cloud-config\ncoreos:\n  update: ~\n",
    ],
)
def test_a_server_that_the_user_named_stays(text: str) -> None:
    assert with_update_server(text, SERVICE) == text
