"""Forking: the master forks the template, and the template forks the others on request.

The template has no reactor.  It waits in `ForkServer.serve` for requests and for children that end.  A forked
process never returns to the code that it was forked from: `fork_process` and the server end it with
`os._exit`.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Collection

from twisted.logger import globalLogPublisher

from twistproxy.ipc import messages
from twistproxy.ipc.frame import Message
from twistproxy.transport.control_link import BlockingLink, socket_pair

_RESET_SIGNALS = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCHLD,
)


def fork_process(main: Callable[[socket.socket], None]) -> tuple[int, int, socket.socket]:
    """Fork a process that runs `main(its end of a socket pair)` and nothing else.

    Returns its pid, a pidfd for it and our end.  OSError if there can be no more processes.
    """
    ours, theirs = socket_pair()
    # A collection writes to every object that it looks at, and so copies every page that parent and child
    # could share.  What exists now is not looked at again.  Garbage goes first, lest a destructor in the
    # child one day closes a descriptor by a number that is another's by then.
    gc.collect()
    gc.freeze()
    try:
        pid = os.fork()
    except OSError:
        ours.close()
        theirs.close()
        raise
    if pid == 0:
        _run_child(lambda: _leave_parent_and_run(main, theirs))
    theirs.close()
    return pid, os.pidfd_open(pid), ours


def _leave_parent_and_run(main: Callable[[socket.socket], None], sock: socket.socket) -> None:
    _leave_parent({sock.fileno()})
    main(sock)


def _run_child(run: Callable[[], object]) -> None:
    """Run and exit: status 0, or 1 after an exception, whose traceback goes to standard error."""
    status = 1
    try:
        run()
        status = 0
    except SystemExit as e:
        status = e.code if isinstance(e.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(status)


def _leave_parent(keep: Collection[int]) -> None:
    """Let go of what belongs to the parent: its signal handlers, log observers, reactor and descriptors.

    The objects behind those descriptors live on, unused, in the frames of the parent's reactor below us.
    """
    signal.set_wakeup_fd(-1)
    for number in _RESET_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    for observer in list(globalLogPublisher._observers):
        globalLogPublisher.removeObserver(observer)
    assert sys.__stdout__ is not None
    assert sys.__stderr__ is not None
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    forget_reactor()
    close_others({0, 1, 2, *keep})


#: The reactors that were forgotten.  They must not be collected: their sockets would be closed by number.
_forgotten: list[object] = []


def forget_reactor() -> None:
    """Make room for another reactor in this process, which has inherited one by fork."""
    _forgotten.append(sys.modules.pop("twisted.internet.reactor", None))
    package = sys.modules["twisted.internet"]
    if hasattr(package, "reactor"):
        delattr(package, "reactor")


def close_others(keep: Collection[int]) -> None:
    """Close every descriptor of this process that is not in `keep`."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in keep:
            try:
                os.close(int(name))
            except OSError:
                pass  # the one that listed the directory


class ForkServer:
    """Serves `fork` requests from the master until the master is gone.

    run  what a forked child does: `run(kind, control socket)`; the child exits when it returns
    """

    def __init__(self, sock: socket.socket, run: Callable[[str, socket.socket], None]) -> None:
        self._link = BlockingLink(sock)
        self._run = run
        self._wake_in, self._wake_out = socket_pair()
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._wake_out.fileno(), warn_on_full_buffer=False)

    def serve(self) -> None:
        """Returns when the master's end is closed."""
        poll = select.poll()
        poll.register(self._link, select.POLLIN)
        poll.register(self._wake_in, select.POLLIN)
        try:
            self._link.send(messages.template_ready())
            while True:
                poll.poll()
                self._reap()
                if not self._answer_requests():
                    return
        except (BrokenPipeError, ConnectionError):
            return

    def _answer_requests(self) -> bool:
        if not select.select([self._link], [], [], 0)[0]:
            return True
        received = self._link.receive()
        if received is None:
            return False
        for message, fds in received:
            self._fork(message, fds[0])
        return True

    def _fork(self, message: Message, control_fd: int) -> None:
        try:
            pid = os.fork()
        except OSError as e:
            os.close(control_fd)
            self._link.send(messages.log("error", "twistproxy.template", f"cannot fork: {e}"))
            self._link.send(messages.forked(message["n"], 0))
            return
        if pid == 0:
            _run_child(lambda: self._become_child(message["kind"], control_fd))
        os.close(control_fd)
        pidfd = os.pidfd_open(pid)
        try:
            self._link.send(messages.forked(message["n"], pid), [pidfd])
        finally:
            os.close(pidfd)

    def _become_child(self, kind: str, control_fd: int) -> None:
        signal.set_wakeup_fd(-1)
        for number in _RESET_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        self._link.close()
        self._wake_in.close()
        self._wake_out.close()
        self._run(kind, socket.socket(fileno=control_fd))

    def _reap(self) -> None:
        try:
            while self._wake_in.recv(4096):
                pass
        except BlockingIOError:
            pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._link.send(messages.exited(pid, status))
