"""Watches the files that the running configuration takes resources from (`config.file_resources`)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from twisted.logger import Logger

from twistproxy.config.config_source import FileSource
from twistproxy.discovery.file_watch import FileWatch, FileWatcher

_log = Logger(namespace="twistproxy.master")


class ConfigFiles:
    """`changed` is called whenever another file is at one of the paths."""

    def __init__(self, reactor: Any, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._watcher = FileWatcher(reactor, _log)
        self._watches: dict[FileSource, FileWatch] = {}

    def use(self, files: Collection[FileSource]) -> None:
        """These are the files of the running configuration from now on."""
        for gone in self._watches.keys() - set(files):
            self._watcher.unwatch(self._watches.pop(gone))
        for file in files:
            if file not in self._watches:
                self._watches[file] = self._watcher.watch(file.path, self._changed, file.watched_directory)

    def stop(self) -> None:
        self.use(())
