"""Real processes: results, errors in words, and nothing left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from argosy.base.run import CommandError, find_program, run, start_detached, stream


def test_output_exit_code_and_environment(tmp_path: Path) -> None:
    done = run(
        ["sh", "-c", 'echo "$A $PWD"; echo oops >&2; exit 3'], env={"A": "x"}, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.text, done.stderr) == (3, f"x {tmp_path}", b"oops\n")


def test_nothing_goes_through_a_shell(tmp_path: Path) -> None:
    assert run(["echo", "$(id); `id` *"]).text == "$(id); `id` *"


def test_failure_tells_the_command_and_its_last_words() -> None:
    with pytest.raises(CommandError) as caught:
        run(["sh", "-c", "seq 100 >&2; exit 4"])
    assert caught.value.message == "`sh -c 'seq 100 >&2; exit 4'` exited with 4"
    assert (caught.value.hint or "").splitlines()[-1] == "100"
    assert len((caught.value.hint or "").splitlines()) < 20


def test_failure_without_stderr_tells_stdout() -> None:
    with pytest.raises(CommandError) as caught:
        run(["sh", "-c", "echo why; exit 1"])
    assert caught.value.hint == "why"


def test_death_by_signal_is_told() -> None:
    with pytest.raises(CommandError, match="was ended by signal 9"):
        run(["sh", "-c", "kill -9 $$"])


def test_missing_program_and_missing_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="`no-such-program` is not installed"):
        run(["no-such-program"])
    with pytest.raises(CommandError, match=r"there is no folder .*/gone"):
        run(["true"], cwd=tmp_path / "gone")
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match=r"cannot start .*Permission denied"):
        run([tmp_path / "file"])


def test_time_out() -> None:
    started = time.monotonic()
    with pytest.raises(CommandError, match=r"took longer than 0\.2 s"):
        run(["sleep", "10"], timeout_s=0.2)
    assert time.monotonic() - started < 5


def test_stream_hands_over_lines_as_they_come() -> None:
    times: list[tuple[str, float]] = []
    stream(
        ["sh", "-c", "echo one; sleep 0.5; echo two >&2"], lambda line: times.append((line, time.monotonic()))
    )
    assert [line for line, _ in times] == ["one", "two"]
    assert times[1][1] - times[0][1] > 0.3


def test_stream_failure_has_the_last_lines() -> None:
    with pytest.raises(CommandError) as caught:
        stream(["sh", "-c", "seq 50; exit 2"], lambda line: None)
    assert "exited with 2" in caught.value.message
    assert (caught.value.hint or "").endswith("49\n50")


def test_stream_ends_the_command_and_its_children_when_we_stop(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    def stop(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stream(["sh", "-c", f"sleep 60 & echo $! $$ >{pids}; echo go; wait"], stop)
    for pid in pids.read_text().split():
        assert is_gone(int(pid))


def is_gone(pid: int) -> bool:
    for _ in range(100):
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def test_detached_process_outlives_its_starter(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = (
        "import sys; from pathlib import Path; from argosy.base.run import start_detached\n"
        "print(start_detached(['sh', '-c', 'sleep 0.3; echo alive; sleep 60'], log=Path(sys.argv[1])))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, log], check=True, capture_output=True, text=True)
    pid = int(done.stdout)
    try:
        for _ in range(100):
            if log.read_text() == "alive\n":
                break
            time.sleep(0.05)
        assert log.read_text() == "alive\n"
        assert os.getsid(pid) == pid
    finally:
        os.killpg(pid, signal.SIGKILL)


def test_detached_process_gets_only_the_descriptors_meant_for_it(tmp_path: Path) -> None:
    kept, hidden = os.pipe()
    os.set_inheritable(hidden, True)
    log = tmp_path / "log"
    pid = start_detached(["sh", "-c", "ls /proc/self/fd; echo end"], log=log, pass_fds=[kept])
    os.waitpid(pid, 0)
    os.close(kept)
    os.close(hidden)
    descriptors = log.read_text().split()
    assert str(kept) in descriptors
    assert str(hidden) not in descriptors


def test_administrators_programs_are_found_by_ordinary_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_program("usermod") == Path("/usr/sbin/usermod")
    assert find_program("no-such-program") is None
