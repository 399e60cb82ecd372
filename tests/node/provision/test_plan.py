"""The plan: what is done, in which order, and what is refused before anything is done."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.base.errors import InputError
from argosy.formats.cloudconfig import CloudConfig, DropIn, File, Unit, User
from argosy.formats.metadata import Metadata
from argosy.node.provision import contents
from argosy.node.provision.model import (
    AuthorizeKeys,
    CreateUser,
    EnableUnits,
    MaskUnit,
    Observed,
    ReloadManager,
    RunScript,
    SetHostname,
    SetPassword,
    UnitCommand,
    UnmaskUnit,
    WriteFile,
    title,
)
from argosy.node.provision.plan import plan, plan_script

HERE = Observed(
    users=frozenset({"root", "core"}),
    groups=frozenset({"root", "sudo"}),
    unit_files=frozenset({"locksmithd.service", "update-engine.service"}),
)
IMPLICIT = ("etcd.service", "etcd2.service", "fleet.service", "locksmithd.service")


def planned(config: CloudConfig, metadata: Metadata | None = None, observed: Observed = HERE) -> list[object]:
    """The plan, without the unmasking of the units that sections of options stand for."""
    unmasked = {f"/run/systemd/system/{name}" for name in IMPLICIT}
    actions = plan(config, metadata or Metadata(), observed)
    return [a for a in actions if not (isinstance(a, UnmaskUnit) and a.path in unmasked)]


def test_nothing_asked_is_nothing_done() -> None:
    assert planned(CloudConfig()) == []


def test_the_order_of_everything() -> None:
    config = CloudConfig(
        hostname="a",
        ssh_authorized_keys=("k",),
        users=(User("u", "hash", ("uk",)),),
        write_files=(File("/f"),),
        manage_etc_hosts="localhost",
        oem=(("id", "x"),),
        update=(("GROUP", "beta"),),
        flannel=(("FLANNELD_IFACE", "eth1"),),
        etcd2=(("ETCD_NAME", "a"),),
        units=(
            Unit("b.service", content="[Service]", enable=True, command="start"),
            Unit("10-x.network", content="[Match]", enable=True, command="start"),
            Unit("c.service", command="start"),
            Unit("d.service", drop_ins=(DropIn("1.conf", "[Unit]"),), runtime=True, command="stop"),
        ),
    )
    actions = planned(config, Metadata(private_ipv4="10.0.0.1"))
    assert [title(action) for action in actions] == [  # type: ignore[arg-type]
        "set the host name to a",
        "create user u",
        "set the password of user u",
        "authorise 1 ssh key for user u",
        "authorise 1 ssh key for user core",
        "write /f",
        "write /etc/oem-release",
        "write /etc/coreos/update.conf",
        "write /etc/hosts",
        "write /run/flannel/options.env",
        "write /etc/environment",
        "write /etc/systemd/system/b.service",
        "write /etc/systemd/network/10-x.network",
        "write /run/systemd/system/d.service.d/1.conf",
        "unmask /run/systemd/system/d.service",
        "write /run/systemd/system/etcd2.service.d/20-cloudinit.conf",
        "enable b.service",
        "reload systemd's unit files",
        "restart systemd-networkd.service",
        "start b.service c.service",
        "stop d.service",
        "restart update-engine.service",
    ]


def test_user_data_names_the_host_before_metadata_does() -> None:
    metadata = Metadata(hostname="from-metadata")
    assert planned(CloudConfig(hostname="mine"), metadata)[0] == SetHostname(
        "mine", "cloud-config names the host"
    )
    assert planned(CloudConfig(), metadata) == [SetHostname("from-metadata", "metadata names the host")]


def test_keys_of_both_go_to_core_without_empty_ones() -> None:
    config = CloudConfig(ssh_authorized_keys=(" a ", "", "\n"))
    (action,) = planned(config, Metadata(ssh_authorized_keys=("b",)))
    assert isinstance(action, AuthorizeKeys)
    assert (action.user, action.name, action.keys) == ("core", "coreos-cloudinit", ("a", "b"))


def test_who_exists_is_not_created_again_but_gets_password_and_keys() -> None:
    users = (User("core", "h", ("k",)), User("new"), User("new"), User(""))
    kinds = [type(action) for action in planned(CloudConfig(users=users))]
    assert kinds == [SetPassword, AuthorizeKeys, CreateUser]


def test_no_secret_is_shown() -> None:
    user = User("core", "$6$secret")
    file = File("/f", b"token-secret")
    shown = repr(planned(CloudConfig(users=(user,), write_files=(file,))))
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("owner", "refused"),
    [("", 0), ("core", 0), ("core:sudo", 0), ("1000:1000", 0), (":sudo", 0), ("new", 0), ("nobody:x", 2)],
)
def test_owners_are_checked_before_anything_is_done(owner: str, refused: int) -> None:
    config = CloudConfig(users=(User("new"),), write_files=(File("/f", owner=owner),))
    if not refused:
        planned(config)
        return
    with pytest.raises(InputError) as caught:
        planned(config)
    assert caught.value.message == "/f: there is no user 'nobody'"
    assert caught.value.hint == "/f: there is no group 'x'"


def test_addresses_go_into_the_environment_unless_user_data_writes_it() -> None:
    metadata = Metadata(private_ipv4="10.0.0.1")
    observed = Observed(environment="# mine\nCOREOS_PRIVATE_IPV4=1.1.1.1\nA=b\n")
    (action,) = planned(CloudConfig(), metadata, observed)
    assert isinstance(action, WriteFile)
    assert action.content == b"# mine\nCOREOS_PRIVATE_IPV4=10.0.0.1\nA=b\n"
    again = Observed(environment=action.content.decode())
    assert planned(CloudConfig(), metadata, again) == []
    own = CloudConfig(write_files=(File("etc//environment", b"X=y\n"),))
    (action,) = planned(own, metadata, observed)
    assert isinstance(action, WriteFile)
    assert (action.path, action.content) == ("/etc/environment", b"X=y\n")


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        # Stopped before it is masked: its start may be due already, which would then fail.
        ("off", [UnitCommand, MaskUnit, ReloadManager]),
        ("reboot", [UnitCommand]),
    ],
)
def test_the_reboot_strategy_masks_or_restarts_locksmith(strategy: str, expected: list[type]) -> None:
    actions = planned(CloudConfig(update=(("REBOOT_STRATEGY", strategy),)))
    assert [type(action) for action in actions] == [WriteFile, *expected]


def test_services_that_the_release_lacks_are_not_restarted() -> None:
    config = CloudConfig(update=(("REBOOT_STRATEGY", "reboot"), ("GROUP", "beta")))
    assert [type(action) for action in planned(config, observed=Observed())] == [WriteFile]


def test_masking_needs_a_reload_and_network_units_are_not_enabled() -> None:
    assert [type(a) for a in planned(CloudConfig(units=(Unit("a.service", mask=True),)))] == [
        MaskUnit,
        ReloadManager,
    ]
    units = (Unit("a.network", enable=True), Unit("a.service", enable=True, runtime=True))
    kinds = [type(action) for action in planned(CloudConfig(units=units))]
    assert kinds == [UnmaskUnit, EnableUnits, UnitCommand]


def test_a_script_runs_in_a_unit_named_by_what_it_says() -> None:
    write, name, run = plan_script("#!/bin/sh\necho a", "/w")
    again = plan_script("#!/bin/sh\necho a", "/w")
    other = plan_script("#!/bin/sh\necho b", "/w")
    assert isinstance(write, WriteFile)
    assert isinstance(run, RunScript)
    assert isinstance(name, WriteFile)
    assert write.mode == 0o700
    assert run.path == write.path
    assert name.content.decode() == run.unit
    assert again == (write, name, run)
    assert other[0] != write


_NAMES = st.text(alphabet="ABC_", min_size=1, max_size=4)
_VALUES = st.text(alphabet="ab =#\"'", max_size=5)


@given(
    st.lists(st.one_of(_VALUES, st.builds("{}={}".format, _NAMES, _VALUES))), st.dictionaries(_NAMES, _VALUES)
)
def test_merging_lines_sets_the_names_and_keeps_the_rest(lines: list[str], variables: dict[str, str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    merged = contents.merge_lines(text, variables)
    for name, value in variables.items():
        assert f"{name}={value}" in merged.splitlines()
    kept = [line for line in lines if line.partition("=")[0] not in variables]
    assert [line for line in merged.splitlines() if line.partition("=")[0] not in variables] == kept
    assert contents.merge_lines(merged, variables) == merged


def test_a_drop_in_escapes_what_would_end_its_quotes() -> None:
    text = contents.drop_in((("A", 'b"c\\d %H'),))
    assert text == '[Service]\nEnvironment="A=b\\"c\\\\d %H"\n'
    assert contents.drop_in(()) == ""


def test_oem_release_needs_an_id() -> None:
    assert contents.oem_release((("name", "x"),)) == ""
    text = contents.oem_release((("id", "rack"), ("name", 'A "rack" for $5')))
    assert text == 'ID=rack\nVERSION_ID=\nNAME="A \\"rack\\" for \\$5"\nHOME_URL=""\nBUG_REPORT_URL=""\n'
