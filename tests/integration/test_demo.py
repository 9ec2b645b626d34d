"""`twistproxy demo`, as a user runs it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

_CODE = "import sys; from twistproxy.cli import main; sys.exit(main())"


@pytest.fixture
def directory() -> Iterator[Path]:
    """Shorter than `tmp_path`: the path of a Unix socket in it has its limit."""
    with tempfile.TemporaryDirectory(prefix="tp-") as path:
        yield Path(path)


@pytest.fixture
def demo(directory: Path) -> Iterator[subprocess.Popen[str]]:
    yield from _run(directory)


@pytest.fixture
def checked_demo(directory: Path) -> Iterator[subprocess.Popen[str]]:
    yield from _run(directory, "--check")


def _run(directory: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The demo with a temporary directory of its own, which is empty in the end, and no process left."""
    process = subprocess.Popen(
        [sys.executable, "-c", _CODE, "demo", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(directory)},
        # Who runs the tests in the background of a shell has this signal ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
        assert process.wait(timeout=60) is not None
        assert list(directory.iterdir()) == []
        assert _processes_in(directory) == []
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)


def _processes_in(directory: Path) -> list[str]:
    """Command lines of processes whose working directory is, or was, below this one."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if os.readlink(link).startswith(str(directory)):
                found.append((link.parent / "cmdline").read_text())
        except OSError:
            continue
    return found


def _read_until(process: subprocess.Popen[str], text: str) -> str:
    """What it prints up to the line with this text."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


@pytest.mark.timeout(300)
def test_every_step_holds(checked_demo: subprocess.Popen[str]) -> None:
    output, _ = checked_demo.communicate(timeout=280)
    assert checked_demo.returncode == 0, output
    assert "Every step held." in output
    assert "FAILED" not in output
    assert "\x1b" not in output, "colours are for terminals"


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("moment", "number"),
    [("# edge", signal.SIGINT), ("Look at it", signal.SIGINT), ("scaled down", signal.SIGTERM)],
)
def test_it_can_be_ended_at_any_moment(demo: subprocess.Popen[str], moment: str, number: int) -> None:
    _read_until(demo, moment)
    demo.send_signal(number)
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0, output
    assert "ending all programs" in output
    assert "Traceback" not in output


def test_a_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-c", _CODE, "demo", "--port", port],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == (
        f"twistproxy demo: port {port} of 127.0.0.1 is in use by another program; choose another with --port\n"
    )
