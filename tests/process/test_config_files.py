"""Files that a configuration takes resources from."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.task import Clock

from twistproxy.config.config_source import FileSource
from twistproxy.process import config_files
from twistproxy.process.config_files import ConfigFiles

SECOND = 1.0


def test_changes_of_the_files_in_use(tmp_path: Path) -> None:
    """Without inotify, so that the clock says when is looked."""
    first, second = tmp_path / "first", tmp_path / "second"
    told: list[int] = []
    clock = Clock()
    watched = ConfigFiles(clock, lambda: told.append(1))
    watched._watcher = config_files.FileWatcher(clock, config_files._log, lambda reactor: None)
    for path in (first, second):
        path.write_text("1")
    watched.use([FileSource(str(first)), FileSource(str(second))])
    clock.advance(SECOND)
    assert not told
    first.write_text("22")
    clock.advance(SECOND)
    assert len(told) == 1
    watched.use([FileSource(str(second))])
    first.write_text("333")
    clock.advance(SECOND)
    assert len(told) == 1
    second.write_text("22")
    clock.advance(SECOND)
    assert len(told) == 2
    watched.stop()
    assert not clock.getDelayedCalls()
