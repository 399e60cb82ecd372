"""Small disks, captured answers, the bus, and the commands that change settings."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conformance import FOLDER
from tests.node.update.bench import NEW, OLD, Key, Machine, Service, answers, payload, serves, web
from tests.node.update.daemon import BIN, POLICY, Daemon, bus

from argosy.base.errors import ArgosyError
from argosy.formats import payload as p
from argosy.formats.omaha import model as omaha
from argosy.formats.omaha.request import decode_request, encode_request
from argosy.formats.omaha.response import decode_response
from argosy.node.cli import main as node_main
from argosy.node.update import omaha as edge
from argosy.node.update.cli import bar, main, status_text, watched_text, why_text
from argosy.node.update.client import set_value
from argosy.node.update.fetch import Patience
from argosy.node.update.model import Machine as Introduced
from argosy.node.update.model import Offer, Operation, Status, Why
from argosy.node.update.problems import Code, UpdateError
from argosy.node.update.tasks import InstallTask, Report, slot_places
from argosy.node.update.worker import install

# Small disks


@contextmanager
def small(folder: Path, size: str) -> Iterator[None]:
    """A file system of `size` at `folder`."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def installed(machine: Machine, key: Key, data: bytes, **values: str) -> list[str]:
    """Have the worker's code install; the codes of what is against it."""
    key.trust_in(machine.keys)
    service, reports = Service(), list[Report]()
    with web(service.handle) as server, web(serves(data)) as packages:
        task = InstallTask(
            machine=Introduced(p.APPLICATION_ID, OLD, "stable"),
            server=server.url,
            folder=str(machine.state),
            offer=Offer(NEW, (packages.url + "/x",), len(data)),
            floor="0.0.0",
            keys=str(machine.keys),
            slots=slot_places(machine.places),
            **values,
        )
        install(task, reports.append, Patience())
    done = reports[-1].installed
    assert done is not None
    told = [event.error_code for event in service.events if event.result == 0]
    assert told == [each.number for each in done.problems][:1]
    assert machine.armed == (not done.problems)
    assert machine.partial_files() == []
    return [each.code for each in done.problems]


@pytest.mark.root
def test_an_esp_that_is_too_small(tmp_path: Path) -> None:
    with small(tmp_path / "machine/esp", "512k"):
        machine, key = Machine(tmp_path / "machine"), Key(tmp_path / "key")
        before = machine.disk.read_bytes()
        assert installed(machine, key, payload(key)) == [Code.ESP_FULL]
        assert machine.disk.read_bytes() == before


@pytest.mark.root
def test_no_room_for_notes(tmp_path: Path) -> None:
    with small(tmp_path / "machine/state", "512k"):
        machine, key = Machine(tmp_path / "machine"), Key(tmp_path / "key")
        assert installed(machine, key, payload(key)) == [Code.STATE_FULL]


def test_a_slot_that_is_too_small_and_every_other_reason(tmp_path: Path) -> None:
    machine, key = Machine(tmp_path / "machine", slot_sectors=16), Key(tmp_path / "key")
    before = machine.disk.read_bytes()
    found = installed(machine, key, payload(key), pin=OLD, hold="no")
    assert found == [Code.HELD, Code.PINNED, Code.SLOT_TOO_SMALL]
    assert machine.disk.read_bytes() == before


def test_no_key(tmp_path: Path) -> None:
    machine, key = Machine(tmp_path / "machine"), Key(tmp_path / "key")
    data = payload(key)
    key.trust_in = lambda folder: None  # type: ignore[method-assign]
    assert installed(machine, key, data) == [Code.NO_KEY]


# Captured requests and answers


def conformance(name: str) -> Path:
    if not (FOLDER / name).is_dir():
        pytest.skip(f"{name} is not beside this checkout")
    return FOLDER / name


def test_captured_answers_are_understood() -> None:
    found: dict[str, str] = {}
    for path in sorted(conformance("omaha").glob("*response*.xml")):
        try:
            response = decode_response(path.read_bytes(), source=path.name)
            for app in response.apps:
                answer = edge.understand(response, app.app_id, checked=app.update is not None)
                found[path.name[:3]] = answer.offer.version if answer.offer else "none"
        except ArgosyError as error:
            # One was never XML, others are for other applications' clients.
            found[path.name[:3]] = type(error).__name__
    # A full answer of a stock service, an answer to an event, and "no update".
    assert (found["102"], found["104"], found["116"]) == ("2.0.0", "none", "none")


def test_our_requests_have_what_stock_ones_have() -> None:
    captured = decode_request((conformance("omaha") / "101-wire-out-sig-ok-request.xml").read_bytes())
    (theirs,) = captured.apps
    machine = Introduced(
        theirs.app_id,
        theirs.version,
        theirs.track,
        boot_id=theirs.boot_id.strip("{}"),
        machine_id=theirs.machine_id,
        first_version=theirs.aleph_version,
    )
    ours = edge.request(machine, events=theirs.events, check=True, on_demand=True)
    system = replace(captured.system, platform=omaha.PLATFORM)
    assert decode_request(encode_request(ours)) == replace(captured, system=system)


@pytest.mark.parametrize(
    ("update", "words"),
    [
        (None, "nothing about updates"),
        (omaha.UpdateAnswer(omaha.OK), "without a package"),
        (omaha.UpdateAnswer(omaha.OK, ("http://a",), omaha.Manifest("1.0", (), ())), "without a package"),
    ],
)
def test_answers_that_cannot_be_used(update: omaha.UpdateAnswer | None, words: str) -> None:
    response = omaha.Response((omaha.ResponseApp("x", update=update),))
    with pytest.raises(UpdateError, match=words):
        edge.understand(response, "x", checked=True)


@pytest.mark.parametrize(
    ("urls", "version", "size"),
    [
        (("ftp://a/",), NEW, 10),
        ((), NEW, 10),
        (("http://a/",), NEW, 0),
        (("http://a/",), NEW, 1 << 40),
        (("http://a/",), "newest", 10),
    ],
)
def test_offers_that_cannot_be_used(urls: tuple[str, ...], version: str, size: int) -> None:
    manifest = omaha.Manifest(version, (omaha.Package("x", size),), ())
    response = omaha.Response((omaha.ResponseApp("x", update=omaha.UpdateAnswer(omaha.OK, urls, manifest)),))
    with pytest.raises(ArgosyError):
        edge.understand(response, "x", checked=True)


def test_a_refusal_by_the_service() -> None:
    response = omaha.Response((omaha.ResponseApp("x", status="error-unknownApplication"),))
    with pytest.raises(UpdateError, match="refuses this machine: error-unknownApplication"):
        edge.understand(response, "x", checked=True)


def test_the_service_may_say_when_to_come_back() -> None:
    with web(answers(503, **{"Retry-After": "1234"})) as server:
        answer = edge.ask(server.url, edge.request(Introduced("x", OLD, "stable"), check=True))
    assert (answer.busy, answer.retry_after_s, answer.heard) == (True, 1234, False)


# The client


def test_what_the_original_prints() -> None:
    status = Status(1_700_000_000, 0.5, Operation.DOWNLOADING, NEW, 1234)
    assert status_text(status).splitlines() == [
        "LAST_CHECKED_TIME=1700000000",
        "PROGRESS=0.500000",
        "CURRENT_OP=UPDATE_STATUS_DOWNLOADING",
        "NEW_VERSION=4892.0.0",
        "NEW_SIZE=1234",
    ]
    assert "  current_operation: UPDATE_STATUS_DOWNLOADING" in watched_text(status)
    assert bar(status) == "downloading 4892.0.0 [###############...............]  50%"
    assert bar(Status(operation=Operation.NEED_REBOOT)) == "updated need reboot ..."


def test_why_in_words() -> None:
    why = Why(
        "updates are held: no", "UPDATE_STATUS_IDLE", OLD, "A", "stable", "", hint="x", next_check_in_s=600
    )
    text = why_text(why).splitlines()
    assert text[:2] == ["Updates are held: no.", "  x"]
    assert "running    4891.0.0 in slot A, group stable" in text
    assert "service    none" in text
    assert "next check in 10 min" in text


def test_settings_are_changed_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "coreos/update.conf"
    set_value(path, "PIN", NEW)
    set_value(path, "HOLD", "moving\nhouse")
    assert path.read_text() == f"PIN={NEW}\nHOLD=moving house\n"
    set_value(path, "PIN", "")
    assert path.read_text() == "HOLD=moving house\n"


@pytest.mark.parametrize("flags", [["-pin", "latest"], ["-nonsense"], []])
def test_wrong_usage(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(flags)
    except SystemExit as end:
        code = int(str(end.code))
    assert code != 0
    assert capsys.readouterr().err


WORDS = ["now", "now --retry", "why", "why --json", "cancel"]


@pytest.mark.parametrize("words", WORDS)
def test_words_of_argosy(
    words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    assert node_main(["update", *words.split()]) == 1
    assert "the system bus cannot be reached" in capsys.readouterr().err


def test_argosy_refuses_what_is_no_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert node_main(["update", "pin", "latest"]) == 2
    assert "'latest' is not a version" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["-status"], ["--status"]])
def test_flags_as_gflags_took_them(
    flags: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    assert main(flags) == 1
    assert "the system bus cannot be reached" in capsys.readouterr().err


# The bus


def call(address: str, *words: str) -> str:
    """dbus-send, which knows nothing of ours."""
    command = ["dbus-send", f"--bus={address}", "--print-reply", "--dest=com.coreos.update1"]
    done = subprocess.run(
        [*command, "/com/coreos/update1", *words], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_the_bus_as_others_see_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "machine")
    machine.configure("")
    with bus(tmp_path) as address:
        daemon = Daemon(machine, address)
        daemon.start()
        try:
            status = call(address, "com.coreos.update1.Manager.GetStatus").split("\n", 1)[1]
            assert [line.split()[0] for line in status.splitlines() if line] == [
                "int64",
                "double",
                "string",
                "string",
                "int64",
            ]
            assert "StatusUpdate" in call(address, "org.freedesktop.DBus.Introspectable.Introspect")
            assert "method return" in call(address, "com.coreos.update1.Manager.AttemptUpdate")
            assert "UnknownMethod" in call(address, "com.coreos.update1.Manager.Nonsense")
            watcher = subprocess.Popen(
                [sys.executable, "-I", BIN / "update_engine_client", "-watch_for_updates"],
                env={"DBUS_SYSTEM_BUS_ADDRESS": address},
                stderr=subprocess.PIPE,
                text=True,
            )
            try:
                assert watcher.stderr is not None
                assert watcher.stderr.readline() == "Watching for status updates.\n"
                time.sleep(0.5)
                daemon.client("-check_for_update")
                heard = [watcher.stderr.readline() for _ in range(6)]
            finally:
                watcher.kill()
                watcher.wait()
            assert heard[0] == "Got status update:\n"
            assert heard[3] == "  current_operation: UPDATE_STATUS_CHECKING_FOR_UPDATE\n"
            words = ["--bus", address, "--state", tmp_path / "other", "--disk", machine.disk]
            second = subprocess.run(
                [sys.executable, "-I", BIN / "update-engine", *words],
                capture_output=True,
                text=True,
                check=False,
                timeout=30,
            )
            assert second.returncode == 1
            assert "another program has the name com.coreos.update1" in second.stderr
        finally:
            daemon.kill()


def test_core_may_call_and_nothing_else() -> None:
    text = POLICY.read_text()
    assert text.count('<policy user="root">') == 1
    _, core = text.split('<policy user="core">')
    assert "own=" not in core
    assert {"AttemptUpdate", "ResetStatus", "GetStatus"} <= set(core.replace('"', " ").split())
