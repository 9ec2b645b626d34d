"""The file watcher on a real directory, with a fake clock and a fake inotify (the real one:
tests/integration).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import inotify
from twisted.internet.task import Clock
from twisted.python.filepath import FilePath

from twistproxy.discovery.file_watch import POLL_INTERVAL, FileWatcher, file_signature

from .fakes import Log


class FakeInotify:
    def __init__(self) -> None:
        self.watched: dict[str, Any] = {}
        self.closed = False

    def watch(self, path: FilePath[str], mask: int, callbacks: list[Any]) -> None:
        if not os.path.isdir(path.path):
            raise inotify.INotifyError("no such directory")
        self.watched[path.path] = callbacks[0]

    def ignore(self, path: FilePath[str]) -> None:
        del self.watched[path.path]

    def loseConnection(self) -> None:
        self.closed = True

    def event(self, directory: Path, mask: int = inotify.IN_MOVED_TO) -> None:
        self.watched[str(directory)](None, FilePath(str(directory)).child("x"), mask)


class World:
    def __init__(self, directory: Path, *, inotify: bool = True) -> None:
        self.clock = Clock()
        self.inotifies: list[FakeInotify] = []
        self.watcher = FileWatcher(self.clock, Log().logger, self.make if inotify else lambda reactor: None)
        self.directory = Path(os.path.realpath(directory))
        self.file = self.directory / "eds.yaml"
        self.replace("1")
        self.changes = 0

    def make(self, reactor: object) -> FakeInotify:
        self.inotifies.append(FakeInotify())
        return self.inotifies[-1]

    def replace(self, text: str) -> None:
        temporary = self.directory / ".new"
        temporary.write_text(text)
        temporary.rename(self.file)

    def changed(self) -> None:
        self.changes += 1


def test_a_move_is_noticed_at_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    watch = world.watcher.watch(str(world.file), world.changed)
    world.replace("2")
    world.inotifies[0].event(tmp_path)
    assert world.changes == 1
    world.inotifies[0].event(tmp_path)
    assert world.changes == 1
    assert not world.clock.getDelayedCalls()
    world.watcher.unwatch(watch)
    assert world.inotifies[0].closed


def test_one_inotify_and_one_watch_per_directory(tmp_path: Path) -> None:
    world = World(tmp_path)
    (tmp_path / "more").mkdir()
    first = world.watcher.watch(str(world.file), world.changed)
    second = world.watcher.watch(str(tmp_path / "b"), world.changed, str(tmp_path / "more"))
    (fake,) = world.inotifies
    assert sorted(fake.watched) == [str(tmp_path), str(tmp_path / "more")]
    world.watcher.unwatch(second)
    assert list(fake.watched) == [str(tmp_path)]
    world.watcher.unwatch(first)
    assert fake.closed
    assert not world.clock.getDelayedCalls()


def test_the_link_that_leads_to_the_file_is_moved(tmp_path: Path) -> None:
    """As Kubernetes updates a ConfigMap: `..data` is moved, the file's own link is not."""
    world = World(tmp_path)
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "f").write_text(version)
    (tmp_path / "..data").symlink_to("1")
    (tmp_path / "f").symlink_to("..data/f")
    world.watcher.watch(str(tmp_path / "f"), world.changed)
    (tmp_path / "..tmp").symlink_to("2")
    (tmp_path / "..tmp").rename(tmp_path / "..data")
    world.inotifies[0].event(tmp_path)
    assert world.changes == 1


def test_without_inotify_it_polls(tmp_path: Path) -> None:
    world = World(tmp_path, inotify=False)
    watch = world.watcher.watch(str(world.file), world.changed)
    world.clock.advance(POLL_INTERVAL)
    assert world.changes == 0
    world.replace("2")
    world.clock.advance(POLL_INTERVAL)
    assert world.changes == 1
    world.file.unlink()
    world.clock.advance(POLL_INTERVAL)
    assert world.changes == 2
    world.watcher.unwatch(watch)
    assert not world.clock.getDelayedCalls()


def test_a_directory_that_comes_later_is_watched_then(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.watcher.watch(str(tmp_path / "later" / "f"), world.changed)
    assert not world.inotifies[0].watched
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "f").write_text("1")
    world.clock.advance(POLL_INTERVAL)
    assert world.changes == 1
    assert list(world.inotifies[0].watched) == [str(tmp_path / "later")]
    assert not world.clock.getDelayedCalls()


@pytest.mark.parametrize("mask", [inotify.IN_DELETE_SELF, inotify.IN_MOVE_SELF])
def test_a_directory_that_goes_and_comes_back(tmp_path: Path, mask: int) -> None:
    world = World(tmp_path)
    world.watcher.watch(str(world.file), world.changed)
    tmp_path.rename(tmp_path.parent / "gone")
    world.inotifies[0].event(tmp_path, mask)
    world.inotifies[0].event(tmp_path, mask)
    assert not world.inotifies[0].closed  # not from within its event
    world.clock.advance(0)
    assert world.inotifies[0].closed
    assert world.changes == 1
    (tmp_path.parent / "gone").rename(tmp_path)
    world.clock.advance(POLL_INTERVAL)
    assert world.changes == 2
    assert list(world.inotifies[1].watched) == [str(tmp_path)]
    assert not world.clock.getDelayedCalls()


def test_a_directory_behind_a_link_is_also_polled(tmp_path: Path) -> None:
    world = World(tmp_path)
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "f").write_text(version)
    (tmp_path / "now").symlink_to("1")
    world.watcher.watch(str(tmp_path / "now" / "f"), world.changed)
    (tmp_path / "next").symlink_to("2")
    (tmp_path / "next").rename(tmp_path / "now")
    world.clock.advance(POLL_INTERVAL)
    assert world.changes == 1


def test_no_file_has_no_signature(tmp_path: Path) -> None:
    assert file_signature(str(tmp_path / "none")) is None
