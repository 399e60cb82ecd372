"""fleetd's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.base.errors import InputError
from argosy.node.fleet.config import Config, parse_duration_s, read_config


def read(folder: Path, text: str, **environment: str) -> Config:
    (folder / "fleet.conf").write_text(text)
    return read_config(folder / "fleet.conf", environment)


def test_nothing_is_needed(tmp_path: Path) -> None:
    assert read_config(tmp_path / "none", {}) == Config()
    with pytest.raises(InputError, match="no such file"):
        read_config(tmp_path / "none", {}, required=True)


def test_the_original_s_file(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "# comment\nverbosity=1\n"
        'etcd_servers=["http://127.0.0.1:2379", "https://10.0.0.1:4001"]\n'
        'public_ip="172.17.8.101"\nmetadata="region=us-west,az=us-west-1"\nagent_ttl="1m30s"\n'
        "engine_reconcile_interval=5\netcd_cafile=/ca\ndisable_engine=true\netcd_key_prefix=/x\ntoken_limit=7\n",
    )
    assert found.etcd_servers == ("http://127.0.0.1:2379", "https://10.0.0.1:4001")
    assert found.public_ip == "172.17.8.101"
    assert found.metadata == {"region": "us-west", "az": "us-west-1"}
    assert (found.agent_ttl_s, found.engine_reconcile_interval_s, found.token_limit) == (90, 5.0, 7)
    assert (found.verbosity, found.disable_engine, found.etcd_key_prefix) == (1, True, "/x/")
    assert found.etcd_tls.authority == Path("/ca")


def test_the_environment_overrules(tmp_path: Path) -> None:
    environment = {"FLEET_PUBLIC_IP": "2.2.2.2", "FLEET_METADATA": "", "OTHER": "x"}
    found = read(tmp_path, "public_ip=1.1.1.1\nmetadata=a=b\n", **environment)
    assert found.public_ip == "2.2.2.2"
    assert found.metadata == {"a": "b"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nnonsense", ":2: `nonsense` is no KEY=VALUE line"),
        ("speed=11", ":1: unknown setting `speed`"),
        ("agent_ttl=soon", ":1: `agent_ttl`: not a time such as 30s or 1m30s"),
        ("agent_ttl=1s", ":1: `agent_ttl`: at least 5 s"),
        ("etcd_servers=localhost:2379", "`etcd_servers`: `localhost:2379` is not an address"),
        ("etcd_servers=[]", "`etcd_servers`: at least one address"),
        ("metadata=a", "`metadata`: `a` is not KEY=VALUE"),
        ("token_limit=0", "`token_limit`: a number from 1"),
        ("engine_reconcile_interval=-1", "`engine_reconcile_interval`: a number of seconds above 0"),
        ("disable_engine=perhaps", "`disable_engine`: true or false"),
        ("etcd_key_prefix=x", "`etcd_key_prefix`: a path"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)


def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="FLEET_AGENT_TTL: `agent_ttl`"):
        read(tmp_path, "", FLEET_AGENT_TTL="x")


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("30", 30), ("1m", 60), ("1h1m1.5s", 3661.5)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "1d", "-1s", "1s1m"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a time"):
        parse_duration_s(text)
