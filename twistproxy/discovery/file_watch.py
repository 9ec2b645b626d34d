"""Notices that a file has changed: at once through inotify, within a second where there is none.

As in Envoy (envoy.config.core.v3.PathConfigSource) the way to replace a file is to move another one over it,
or to move the symbolic link that leads to it, which is how Kubernetes updates a ConfigMap.  A file that is
written in place is read once its writer has closed it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger
from twisted.python.filepath import FilePath

from twistproxy.api.clock import Timer

POLL_INTERVAL = 1.0

Signature = tuple[int, int, int, int] | None


def file_signature(path: str) -> Signature:
    """Device, inode, time of change and size of the file that `path` leads to; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


class FileWatch:
    """One watched file.  `changed` is called without arguments each time it has become another one.

    directories  where a move can make it another one
    indirect     whether a directory is reached through symbolic links, whose own moves are not seen there
    """

    def __init__(self, path: str, directories: set[str], changed: Callable[[], None]) -> None:
        self.path = path
        self.directories = frozenset(map(os.path.realpath, directories))
        self.indirect = self.directories != directories
        self._changed = changed
        self._signature = file_signature(path)

    def check(self) -> None:
        """Look whether the file is another one, and tell."""
        signature = file_signature(self.path)
        if signature != self._signature:
            self._signature = signature
            self._changed()


class FileWatcher:
    """All watched files of a process, on one inotify descriptor.

    make_inotify  returns something like a reading `twisted.internet.inotify.INotify`, None where there is
                  none
    """

    def __init__(
        self,
        reactor: Any,
        log: Logger,
        make_inotify: Callable[[Any], Any] | None = None,
    ) -> None:
        self._reactor = reactor
        self._log = log
        self._make_inotify = make_inotify or _make_inotify
        self._watches: set[FileWatch] = set()
        self._inotify: Any = None
        self._watched: set[str] = set()
        self._poll: Timer | None = None
        self._renewal: Timer | None = None

    def watch(self, path: str, changed: Callable[[], None], directory: str | None = None) -> FileWatch:
        """Call `changed()` whenever another file is at `path`.

        `directory`: one more where moves are noticed.
        """
        directories = {os.path.dirname(os.path.abspath(path))}
        if directory:
            directories.add(os.path.abspath(directory))
        watch = FileWatch(path, directories, changed)
        self._watches.add(watch)
        self._watch_directories(watch)
        return watch

    def unwatch(self, watch: FileWatch) -> None:
        """Forget a watch."""
        self._watches.discard(watch)
        unused = self._watched - self._wanted()
        if not self._watches:
            self._stop()
            return
        for directory in unused:
            try:
                self._inotify.ignore(FilePath(directory))
            except KeyError:
                pass  # it is gone, and its event is still to be read
        self._watched -= unused

    def _wanted(self) -> set[str]:
        return {directory for watch in self._watches for directory in watch.directories}

    def _watch_directories(self, new: FileWatch | None = None) -> None:
        """Watch every directory that can be, or those of a new watch; poll as long as there is one that cannot."""
        wanted = self._wanted() if new is None else new.directories
        watches = self._watches if new is None else (new,)
        for directory in wanted - self._watched:
            if self._add(directory):
                self._watched.add(directory)
        unseen = not wanted <= self._watched or any(watch.indirect for watch in watches)
        if unseen and self._poll is None:
            self._poll = self._reactor.callLater(POLL_INTERVAL, self._polled)

    def _add(self, directory: str) -> bool:
        from twisted.internet import inotify

        mask = inotify.IN_MOVED_TO | inotify.IN_CLOSE_WRITE | inotify.IN_MOVE_SELF | inotify.IN_DELETE_SELF
        try:
            if self._inotify is None:
                self._inotify = self._make_inotify(self._reactor)
            if self._inotify is None:
                return False
            self._inotify.watch(FilePath(directory), mask, callbacks=[self._event])
        except (OSError, inotify.INotifyError) as e:
            self._log.debug("cannot watch {directory}: {reason}", directory=directory, reason=str(e))
            return False
        return True

    def _event(self, _watch: object, _path: FilePath[bytes], mask: int) -> None:
        from twisted.internet import inotify

        if mask & (inotify.IN_MOVE_SELF | inotify.IN_DELETE_SELF):
            # The directory is not where it was.  Twisted closes the whole descriptor when one of its
            # directories is deleted: take a new one, and poll for directories that are gone until they are
            # back. Not from within the old one's event: it goes on using its descriptor's number.
            if self._renewal is None:
                self._renewal = self._reactor.callLater(0, self._renew)
        self._check()

    def _renew(self) -> None:
        self._renewal = None
        self._close()
        self._watch_directories()
        self._check()

    def _check(self) -> None:
        for watch in tuple(self._watches):
            if watch in self._watches:
                watch.check()

    def _polled(self) -> None:
        self._poll = None
        self._check()
        if self._watches:
            self._watch_directories()

    def _close(self) -> None:
        if self._inotify is not None:
            self._inotify.loseConnection()
            self._inotify = None
        self._watched.clear()

    def _stop(self) -> None:
        self._close()
        for call in (self._poll, self._renewal):
            if call is not None:
                call.cancel()
        self._poll = self._renewal = None


def _make_inotify(reactor: Any) -> Any:
    # Not at the top: the module needs Linux, and its parent chooses a reactor when it is imported too early.
    try:
        from twisted.internet.inotify import INotify
    except ImportError:
        return None
    inotify = INotify(reactor)
    inotify.startReading()
    return inotify
