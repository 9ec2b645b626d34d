from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from twistproxy.errors import StartError
from twistproxy.process.run_dir import open_run_dir


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A short one: the path of a Unix socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="run.") as path:
        yield Path(path)


@pytest.fixture(autouse=True)
def _base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def test_a_fresh_directory_is_private_and_goes_away(tmp_path: Path) -> None:
    run_dir = open_run_dir("")
    assert Path(run_dir.path).parent == tmp_path
    assert os.stat(run_dir.path).st_mode & 0o777 == 0o700
    Path(run_dir.discovery_socket).touch()
    run_dir.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_program_left_is_cleared_away(tmp_path: Path) -> None:
    stale = open_run_dir("")
    Path(stale.discovery_socket).touch()
    os.close(stale._lock)  # as the kernel does when the process dies
    other = open_run_dir("")
    assert [path.name for path in tmp_path.iterdir()] == [Path(other.path).name]
    other.remove()


def test_a_directory_in_use_is_left_alone() -> None:
    one = open_run_dir("")
    other = open_run_dir("")
    assert Path(one.path).is_dir()
    one.remove()
    other.remove()


def test_a_given_directory_is_made_private_kept_and_locked(tmp_path: Path) -> None:
    path = tmp_path / "given"
    path.mkdir(mode=0o755)
    (path / "discovery.sock").touch()
    run_dir = open_run_dir(str(path))
    assert path.stat().st_mode & 0o777 == 0o700
    assert not (path / "discovery.sock").exists()
    with pytest.raises(StartError, match="another twistproxy uses it"):
        open_run_dir(str(path))
    run_dir.remove()
    assert list(path.iterdir()) == []


def test_a_given_directory_that_was_not_there_is_removed(tmp_path: Path) -> None:
    run_dir = open_run_dir(str(tmp_path / "new"))
    run_dir.remove()
    assert not (tmp_path / "new").exists()


def test_errors_name_the_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="file: not a directory"):
        open_run_dir(str(tmp_path / "file"))
    with pytest.raises(StartError, match="No such file or directory"):
        open_run_dir(str(tmp_path / "no" / "where"))
    with pytest.raises(StartError, match="too long for a Unix socket"):
        open_run_dir(str(tmp_path / ("x" * 120)))


def test_the_temporary_directory_is_the_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run_dir = open_run_dir("")
    assert Path(run_dir.path).parent == tmp_path
    run_dir.remove()
