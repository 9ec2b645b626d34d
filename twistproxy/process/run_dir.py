"""The run directory: mode 0700, holds the Unix sockets that the processes meet at, and goes with the
program."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile

from twistproxy.errors import StartError

#: A Unix socket's path has at most this many bytes (unix(7)).
_LONGEST_PATH = 107
_PREFIX = "twistproxy-"
_LOCK = "lock"
#: Where workers reach the discovery process.
DISCOVERY_SOCKET = "discovery.sock"
#: Workers lock parts of it (`primitives.shared_block`).
BOARD_LOCK = "board.lock"


class RunDir:
    """A run directory that is ours: its lock file is locked as long as this object lives."""

    def __init__(self, path: str, lock: int, created: bool) -> None:
        self.path = path
        self._lock = lock
        self._created = created

    @property
    def discovery_socket(self) -> str:
        return os.path.join(self.path, DISCOVERY_SOCKET)

    def remove(self) -> None:
        """Remove our files, and the directory if it was not there before us."""
        for name in (DISCOVERY_SOCKET, BOARD_LOCK, _LOCK):
            _unlink(os.path.join(self.path, name))
        if self._created:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def open_run_dir(wanted: str) -> RunDir:
    """The directory `wanted`, or a fresh one if that is "".  StartError if there is none to be had."""
    try:
        run_dir = _given(wanted) if wanted else _fresh()
    except OSError as e:
        raise StartError(f"run directory {e.filename or wanted}: {e.strerror}") from e
    if len(os.fsencode(run_dir.discovery_socket)) > _LONGEST_PATH:
        run_dir.remove()
        raise StartError(f"run directory {run_dir.path}: the path is too long for a Unix socket")
    _unlink(run_dir.discovery_socket)
    return run_dir


def _given(path: str) -> RunDir:
    path = os.path.abspath(path)
    try:
        os.mkdir(path, 0o700)
        created = True
    except FileExistsError:
        created = False
    found = os.stat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise StartError(f"run directory {path}: not a directory")
    if found.st_uid != os.geteuid():
        raise StartError(f"run directory {path}: belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        os.chmod(path, 0o700)
    lock = _locked(path)
    if lock is None:
        raise StartError(f"run directory {path}: another twistproxy uses it")
    return RunDir(path, lock, created)


def _fresh() -> RunDir:
    base = _base()
    _remove_stale(base)
    path = tempfile.mkdtemp(prefix=_PREFIX, dir=base)
    lock = _locked(path)
    assert lock is not None
    return RunDir(path, lock, created=True)


def _base() -> str:
    """Where a fresh directory goes: the user's run time directory, the system's, or the temporary one."""
    user = os.environ.get("XDG_RUNTIME_DIR", "")
    if user and os.access(user, os.W_OK | os.X_OK):
        return user
    if os.geteuid() == 0 and os.access("/run", os.W_OK | os.X_OK):
        os.makedirs("/run/twistproxy", 0o700, exist_ok=True)
        return "/run/twistproxy"
    return tempfile.gettempdir()


def _remove_stale(base: str) -> None:
    """Remove the directories of programs that were killed: they are ours, and nobody holds their lock."""
    for name in os.listdir(base):
        path = os.path.join(base, name)
        if not name.startswith(_PREFIX) or not os.path.exists(os.path.join(path, _LOCK)):
            continue
        try:
            if os.stat(path).st_uid == os.geteuid() and (lock := _locked(path)) is not None:
                RunDir(path, lock, created=True).remove()
        except OSError:
            continue


def _locked(path: str) -> int | None:
    """Lock the directory's lock file; None if somebody else has."""
    lock = os.open(os.path.join(path, _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
