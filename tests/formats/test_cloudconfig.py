"""cloud-config: what is read, what is reported, and at which line."""

from __future__ import annotations

import base64
import gzip

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from argosy.base.errors import InputError, Location
from argosy.formats.cloudconfig import (
    ADDRESS_NAMES,
    CloudConfig,
    DropIn,
    File,
    Head,
    Unit,
    User,
    check_user_data,
    head,
    parse_cloud_config,
    substitute,
    unknown_addresses,
)


def config_of(text: str) -> CloudConfig:
    config, report = parse_cloud_config("#cloud-config\n" + text, "user-data")
    assert report.findings == ()
    return config


def findings_of(text: str) -> list[str]:
    return [str(finding) for finding in check_user_data("#cloud-config\n" + text, "user-data").findings]


EVERYTHING = """
hostname: core-01
ssh-authorized-keys: [ssh-ed25519 AAAA me]
manage_etc_hosts: localhost
users:
  - name: elroy
    passwd: $6$hash
    groups: [sudo, docker]
    no-create-home: yes
    shell: /bin/bash
write_files:
  - path: /etc/motd
    permissions: 0600
    owner: core:core
    content: |
      hello
coreos:
  etcd2:
    discovery: https://discovery.example/abc
    heartbeat-interval: 0
    election_timeout: 5000
    debug: true
    name: 7
  fleet:
    metadata: region=eu
    engine_reconcile_interval: 2.0
  flannel:
    interface: eth1
  locksmith:
    window_start: Thu 04:00
    window_length: 1h30m
  update: {reboot-strategy: off, group: beta}
  oem: {id: rack, name: The Rack}
  units:
    - name: a.service
      enable: true
      command: start
      drop-ins:
        - name: 10.conf
          content: "[Service]"
"""


def test_every_section_is_read() -> None:
    assert config_of(EVERYTHING) == CloudConfig(
        hostname="core-01",
        ssh_authorized_keys=("ssh-ed25519 AAAA me",),
        manage_etc_hosts="localhost",
        users=(
            User(
                name="elroy",
                password_hash="$6$hash",
                groups=("sudo", "docker"),
                no_create_home=True,
                shell="/bin/bash",
            ),
        ),
        write_files=(File("/etc/motd", b"hello\n", 0o600, "core:core"),),
        etcd2=(
            ("ETCD_DEBUG", "true"),
            ("ETCD_DISCOVERY", "https://discovery.example/abc"),
            ("ETCD_ELECTION_TIMEOUT", "5000"),
            ("ETCD_NAME", "7"),
        ),
        fleet=(("FLEET_ENGINE_RECONCILE_INTERVAL", "2"), ("FLEET_METADATA", "region=eu")),
        flannel=(("FLANNELD_IFACE", "eth1"),),
        locksmith=(("REBOOT_WINDOW_START", "Thu 04:00"), ("REBOOT_WINDOW_LENGTH", "1h30m")),
        update=(("REBOOT_STRATEGY", "off"), ("GROUP", "beta")),
        oem=(("id", "rack"), ("name", "The Rack")),
        units=(Unit("a.service", drop_ins=(DropIn("10.conf", "[Service]"),), enable=True, command="start"),),
    )


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", Head.NOTHING),
        ("#cloud-config  \r\nhostname: a", Head.CLOUD_CONFIG),
        ("#!/bin/sh\nexit", Head.SCRIPT),
        ('{"ignition": {"version": "3.0.0"}}', Head.IGNITION),
        ('{"ignitionVersion": 1}', Head.IGNITION),
        ('{"a": 1}', Head.UNKNOWN),
        ("{", Head.UNKNOWN),
        ("# cloud-config\n", Head.UNKNOWN),
        ("hostname: a", Head.UNKNOWN),
    ],
)
def test_the_beginning_tells_the_kind(text: str, kind: Head) -> None:
    assert head(text) is kind
    refused = kind in (Head.IGNITION, Head.UNKNOWN)
    assert bool(check_user_data(text, "x").errors) == refused


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hostnam: a", ['line 2: warning: unrecognized key "hostnam"']),
        ("hostname: [a]", ['line 2: warning: incorrect type for "hostname" (want string)']),
        ("hostname:", ['line 2: warning: incorrect type for "hostname" (want string)']),
        ("users: a", ['line 2: warning: incorrect type for "users" (want []struct)']),
        (
            "users:\n  - name: a\n  - b",
            ['line 4: warning: incorrect type for "users[1]" (want struct)'],
        ),
        ("coreos:\n  etcd2:\n    debug: 3", ['line 4: warning: incorrect type for "debug" (want bool)']),
        (
            "coreos:\n  etcd2:\n    max_wals: 1.5",
            ['line 4: warning: incorrect type for "max_wals" (want int)'],
        ),
        ("coreos:\n  units:\n  - command: begin", ["line 4: error: invalid value begin"]),
        ("coreos:\n  units:\n  - name: ../x", ['line 4: error: "../x" is not a file name']),
        ("coreos:\n  etcd:\n    discovery: abc", ["line 4: warning: discovery URL is not valid"]),
        (
            "coreos:\n  etcd2:\n    name: |\n      a\n      b",
            ['line 4: error: "name" must be one line of text'],
        ),
        (
            "coreos:\n  write_files: []",
            [
                'line 3: warning: unrecognized key "write_files"',
                "line 3: info: write_files doesn't belong under coreos",
            ],
        ),
        ("write_files:\n  - content: a", ["line 3: error: a file needs a path"]),
        (
            "write_files:\n  - path: /tmp/../usr/bin/x",
            ["line 3: error: file cannot be written to a read-only filesystem"],
        ),
        ("write_files:\n  - path: /usrlocal/x", []),
        (
            "write_files:\n  - path: /x\n    content: '*'\n    encoding: b64",
            ['line 4: error: content cannot be decoded as "b64"'],
        ),
        ("write_files:\n  - path: /x\n    permissions: rw", ["line 4: error: invalid value rw"]),
        ("manage_etc_hosts: yes", ["line 2: error: invalid value yes"]),
        ("a: b: c", ["line 2: error: mapping values are not allowed in this context"]),
        ("- a", ["line 2: error: must be keys with values, such as `hostname: core-01`"]),
        ("hostname: !!int x", ["line 2: error: \"hostname\": invalid literal for int() with base 0: 'x'"]),
        ("hostnam: a\nhostnam2: b\nusers: 3\n", None),
    ],
)
def test_every_problem_is_reported_with_its_line(text: str, expected: list[str] | None) -> None:
    found = findings_of(text)
    if expected is None:
        assert [line.split(":")[0] for line in found] == ["line 2", "line 3", "line 4"]
    else:
        assert found == expected


def test_errors_raise_with_the_place_of_the_first_and_the_others_as_hint() -> None:
    report = check_user_data("#cloud-config\nwrite_files:\n- path: /usr/x\n  permissions: z\n", "u.yml")
    with pytest.raises(InputError) as caught:
        report.raise_errors()
    assert caught.value.where == Location("u.yml", 3, 3)
    assert caught.value.hint == "line 4: error: invalid value z"


@pytest.mark.parametrize(
    ("written", "read"), [("y", True), ("On", True), ("NO", False), ("'true'", None), ("1", None)]
)
def test_truth_is_what_yaml_1_1_says(written: str, read: bool | None) -> None:
    config, report = parse_cloud_config(f"#cloud-config\nusers: [{{name: a, system: {written}}}]", "x")
    assert config.users[0].system == bool(read)
    assert bool(report.findings) == (read is None)


@pytest.mark.parametrize("written", ["0744", "2015-01-01", "1:30", "0x1F", "1_000", "yes", "1.50"])
def test_text_keeps_its_characters(written: str) -> None:
    assert config_of(f"hostname: {written}").hostname == written


def test_anchors_and_merges_are_followed_and_own_keys_win() -> None:
    text = "users:\n- &a {name: a, shell: /s}\n- {name: b, <<: *a}"
    assert config_of(text).users == (User(name="a", shell="/s"), User(name="b", shell="/s"))


def test_the_last_of_equal_keys_wins() -> None:
    assert config_of("hostname: a\nhostname: b").hostname == "b"


def test_an_anchor_within_itself_ends() -> None:
    assert findings_of("users: &a\n- *a\n") == [
        'line 2: warning: incorrect type for "users[0]" (want struct)'
    ]


@given(st.binary(max_size=200), st.sampled_from(["", "b64", "base64", "gz+b64", "gzip+base64"]))
def test_contents_survive_their_encoding(content: bytes, encoding: str) -> None:
    data = gzip.compress(content) if encoding.startswith("gz") else content
    if encoding:
        written = base64.b64encode(data).decode() or "''"
    else:
        written = "!!binary " + (base64.b64encode(data).decode() or "''")
    text = f"write_files:\n- path: /x\n  encoding: '{encoding}'\n  content: {written}"
    assert config_of(text).write_files[0].content == content


@given(st.text(max_size=300))
def test_no_text_breaks_the_parser(text: str) -> None:
    config, report = parse_cloud_config("#cloud-config\n" + text, "x")
    assert isinstance(config, CloudConfig)
    lines = text.count("\n") + text.count("\r") + text.count("\x85") + text.count("\u2028") + 3
    assert all(0 < finding.line <= lines + text.count("\u2029") for finding in report.findings)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=8,
)
_KEYS = ["hostname", "users", "write_files", "coreos", "ssh_authorized_keys"]
_COREOS = ["units", "etcd2", "update", "oem", "fleet"]


@given(st.dictionaries(st.sampled_from(_KEYS), _JSON), st.dictionaries(st.sampled_from(_COREOS), _JSON))
def test_no_value_breaks_the_reader(top: dict[str, object], coreos: dict[str, object]) -> None:
    text = "#cloud-config\n" + yaml.safe_dump({**top, "coreos": coreos})
    config, _ = parse_cloud_config(text, "x")
    assert isinstance(config, CloudConfig)


ADDRESSES = {"private_ipv4": "10.1.2.3", "public_ipv4": "192.0.2.1"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://$private_ipv4:2380", "http://10.1.2.3:2380"),
        ("$private_ipv4$public_ipv4", "10.1.2.3192.0.2.1"),
        (r"\$private_ipv4", "$private_ipv4"),
        (r"a\$private_ipv4 $private_ipv4", "a$private_ipv4 10.1.2.3"),
        ("[$public_ipv6]", "[]"),
        ("$private_ipv", "$private_ipv"),
    ],
)
def test_addresses_are_put_in(text: str, expected: str) -> None:
    assert substitute(text, ADDRESSES) == expected


def test_addresses_that_are_not_known_are_named() -> None:
    text = r"$private_ipv4 $public_ipv6 \$private_ipv6"
    assert unknown_addresses(text, ADDRESSES) == ("public_ipv6",)


@given(st.text(alphabet="ab $\\\n", max_size=40))
def test_text_without_names_stays(text: str) -> None:
    assert substitute(text, dict.fromkeys(ADDRESS_NAMES, "x")) == text
