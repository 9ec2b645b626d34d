from __future__ import annotations

import os
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from twistproxy.observe.stats import Snapshot
from twistproxy.transport import log_file
from twistproxy.transport.clock import ReactorClock
from twistproxy.transport.log_file import LogFile, LogFiles


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_lines_are_written_within_a_second(clock: Clock, tmp_path: Path) -> None:
    file = LogFile(ReactorClock(clock), str(tmp_path / "log"))
    file.write(b"one\n")
    file.write(b"two\n")
    assert (tmp_path / "log").read_bytes() == b""
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(log_file.FLUSH_INTERVAL)
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"
    assert clock.getDelayedCalls() == []
    file.close()


def test_many_lines_are_written_sooner(clock: Clock, tmp_path: Path) -> None:
    file = LogFile(ReactorClock(clock), str(tmp_path / "log"))
    for _ in range(70):
        file.write(b"x" * 1023 + b"\n")
    assert (tmp_path / "log").stat().st_size == 64 * 1024
    file.close()
    assert (tmp_path / "log").stat().st_size == 70 * 1024


def test_it_appends(clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"before\n")
    one = LogFile(ReactorClock(clock), str(tmp_path / "log"))
    other = LogFile(ReactorClock(clock), str(tmp_path / "log"))
    for file in (one, other):
        file.write(b"line\n")
        file.flush()
    assert (tmp_path / "log").read_bytes() == b"before\nline\nline\n"
    one.close()
    other.close()


def test_reopen_follows_a_rotation(clock: Clock, tmp_path: Path) -> None:
    file = LogFile(ReactorClock(clock), str(tmp_path / "log"))
    file.write(b"old\n")
    (tmp_path / "log").rename(tmp_path / "log.1")
    file.reopen()
    file.write(b"new\n")
    file.close()
    assert (tmp_path / "log.1").read_bytes() == b"old\n"
    assert (tmp_path / "log").read_bytes() == b"new\n"


def test_reopen_keeps_the_old_file_if_there_can_be_no_new_one(clock: Clock, tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    file = LogFile(ReactorClock(clock), str(directory / "log"))
    directory.rename(tmp_path / "moved")
    file.reopen()
    file.write(b"line\n")
    file.close()
    assert (tmp_path / "moved" / "log").read_bytes() == b"line\n"


def test_a_pipe_that_nobody_reads_holds_nothing_up(clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file = LogFile(ReactorClock(clock), str(path))
    line = b"x" * 999 + b"\n"
    count = 12_000
    for _ in range(count):
        file.write(line)
    clock.advance(1)
    assert file.dropped > 0
    received = b""
    for _ in range(200):
        try:
            received += os.read(reader, 1 << 20)
        except BlockingIOError:
            pass
        clock.advance(1)
    lines = received.split(b"\n")
    assert lines.pop() == b""
    assert set(lines) == {line[:-1]}
    assert len(lines) == count - file.dropped
    assert clock.getDelayedCalls() == []
    file.close()
    os.close(reader)


def test_a_full_disk_costs_lines_and_nothing_else(clock: Clock) -> None:
    file = LogFile(ReactorClock(clock), "/dev/full")
    file.write(b"one\n")
    file.write(b"two\n")
    clock.advance(1)
    assert file.dropped == 2
    file.close()


def test_standard_output_is_appended_to_wherever_it_goes(
    clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    files = LogFiles(ReactorClock(clock))
    files.open("/dev/stdout").write(b"out\n")
    files.open("/dev/stderr").write(b"err\n")
    files.close()
    assert capfd.readouterr() == ("out\n", "err\n")


def test_a_path_is_opened_once(clock: Clock, tmp_path: Path) -> None:
    files = LogFiles(ReactorClock(clock))
    one = files.open(str(tmp_path / "log"))
    assert files.open(str(tmp_path / "log")) is one
    assert files.dropped == 0
    files.close()


def test_a_file_that_cannot_be_opened_is_an_error(clock: Clock) -> None:
    with pytest.raises(OSError, match="No such file"):
        LogFile(ReactorClock(clock), "/nonexistent/log")


def test_what_files_count(clock: Clock, tmp_path: Path) -> None:
    files = LogFiles(ReactorClock(clock))
    good = files.open(str(tmp_path / "log"))
    full = files.open("/dev/full")

    def counted() -> dict[str, int]:
        out = Snapshot("figures")
        files.collect(out)
        return {
            name.removeprefix("filesystem."): value for name, value in {**out.counters, **out.gauges}.items()
        }

    good.write(b"one\n")
    good.write(b"two\n")
    full.write(b"lost\n")
    assert counted() == {
        "flushed_by_timer": 0,
        "reopen_failed": 0,
        "write_buffered": 3,
        "write_completed": 0,
        "write_failed": 0,
        "write_total_buffered": 13,
    }
    clock.advance(log_file.FLUSH_INTERVAL)
    assert counted() == {
        "flushed_by_timer": 2,
        "reopen_failed": 0,
        "write_buffered": 3,
        "write_completed": 1,
        "write_failed": 1,
        "write_total_buffered": 0,
    }
    files.close()


def test_what_does_not_fit_is_counted_once(clock: Clock, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    files = LogFiles(ReactorClock(clock))
    file = files.open(str(pipe))
    for _ in range(5):
        file.write(b"x" * (64 * 1024 - 1) + b"\n")
        file.flush()
    out = Snapshot("figures")
    files.collect(out)
    assert out.counters["filesystem.write_buffered"] == 5
    assert out.gauges["filesystem.write_total_buffered"] == 4 * 64 * 1024
    os.close(reader)
    files.close()


def test_output_that_goes_to_a_file_is_shared(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the program itself says is not appended: with a position of its own it would write over the log."""
    output = os.open(tmp_path / "output", os.O_WRONLY | os.O_CREAT)
    monkeypatch.setitem(log_file._STANDARD, "/dev/stdout", output)
    file = LogFile(ReactorClock(clock), "/dev/stdout")
    os.write(output, b"started\n")
    file.write(b"GET /\n")
    file.flush()
    os.write(output, b"stopped\n")
    file.close()
    os.close(output)
    assert (tmp_path / "output").read_bytes() == b"started\nGET /\nstopped\n"
