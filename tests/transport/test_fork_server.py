from __future__ import annotations

import os
import signal
import sys
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor

from twistproxy.ipc import messages
from twistproxy.ipc.frame import Message
from twistproxy.transport.control_link import BlockingLink, socket_pair
from twistproxy.transport.fork_server import ForkServer, fork_process
from twistproxy.transport.process_handle import ProcessHandle

pytestmark = pytest.mark.integration


def receive(link: BlockingLink) -> tuple[Message, list[int]]:
    received = link.receive()
    assert received is not None
    [one] = received
    return one


def server(run: Any) -> tuple[int, BlockingLink]:
    """A template that forks children that do `run(kind, socket)`."""
    pid, pidfd, ours = fork_process(lambda sock: ForkServer(sock, run).serve())
    os.close(pidfd)
    link = BlockingLink(ours)
    assert receive(link)[0] == messages.template_ready()
    return pid, link


def fork(link: BlockingLink, number: int, kind: str) -> tuple[int, int, BlockingLink]:
    """Pid, pidfd and our end of a child's socket."""
    ours, theirs = socket_pair()
    link.send(messages.fork(number, kind), [theirs.fileno()])
    theirs.close()
    message, [pidfd] = receive(link)
    assert (message["t"], message["n"]) == ("forked", number)
    return message["pid"], pidfd, BlockingLink(ours)


def test_children_talk_through_the_socket_that_was_passed() -> None:
    def run(kind: str, sock: Any) -> None:
        link = BlockingLink(sock)
        link.send({"t": "hello", "kind": kind, "pid": os.getpid(), "parent": os.getppid()})

    template, link = server(run)
    pid, pidfd, child = fork(link, 1, "worker")
    assert receive(child)[0] == {"t": "hello", "kind": "worker", "pid": pid, "parent": template}
    message, _ = receive(link)
    assert message == messages.exited(pid, 0)
    assert child.receive() is None
    child.close()
    os.close(pidfd)
    link.close()
    assert os.waitpid(template, 0)[1] == 0


def test_how_children_end_is_told() -> None:
    def run(kind: str, sock: Any) -> None:
        if kind == "exits":
            sys.exit(7)
        if kind == "fails":
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            raise RuntimeError("on purpose")
        signal.pause()

    template, link = server(run)
    for number, (kind, status) in enumerate(
        [("exits", 7 << 8), ("fails", 1 << 8), ("waits", signal.SIGKILL)]
    ):
        pid, pidfd, child = fork(link, number, kind)
        if kind == "waits":
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        assert receive(link)[0] == messages.exited(pid, status)
        child.close()
        os.close(pidfd)
    link.close()
    os.waitpid(template, 0)


def test_a_child_outlives_its_template_and_is_watched_by_pidfd() -> None:
    def run(kind: str, sock: Any) -> None:
        BlockingLink(sock).receive()

    template, link = server(run)
    pid, pidfd, child = fork(link, 1, "worker")
    reactor = EPollReactor()
    ended: list[bool] = []
    handle = ProcessHandle(reactor, pid, pidfd, lambda: ended.append(True))
    os.kill(template, signal.SIGKILL)
    os.waitpid(template, 0)
    reactor.iterate(0.05)
    assert ended == []
    child.close()
    for _ in range(100):
        reactor.iterate(0.05)
        if ended:
            break
    assert ended == [True]
    assert handle.ended
    handle.kill()
    link.close()


def test_a_forked_process_has_no_descriptors_but_its_own() -> None:
    extra = os.open("/dev/null", os.O_RDONLY)

    def main(sock: Any) -> None:
        fds = sorted(int(fd) for fd in os.listdir("/proc/self/fd"))
        # The last one is the listing's own.
        BlockingLink(sock).send({"t": "fds", "fine": fds[:3] == [0, 1, 2] and len(fds) == 5})

    pid, pidfd, ours = fork_process(main)
    os.close(extra)
    link = BlockingLink(ours)
    assert receive(link)[0]["fine"]
    os.waitpid(pid, 0)
    os.close(pidfd)
    link.close()


def test_a_forked_process_can_have_a_reactor_of_its_own() -> None:
    def main(sock: Any) -> None:
        reactor: Any = EPollReactor()
        from twisted.internet.main import installReactor

        installReactor(reactor)
        from twisted.internet import reactor as installed

        assert installed is reactor
        reactor.callLater(0.01, reactor.stop)
        reactor.run()
        BlockingLink(sock).send({"t": "done"})

    pid, pidfd, ours = fork_process(main)
    link = BlockingLink(ours)
    assert receive(link)[0] == {"t": "done"}
    assert os.waitpid(pid, 0)[1] == 0
    os.close(pidfd)
    link.close()
