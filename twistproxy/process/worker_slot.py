"""One worker slot: its number, its listening sockets, the worker that runs in it, and those that are leaving
it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twistproxy.ipc import messages
from twistproxy.ipc.frame import Message
from twistproxy.process.child import Child
from twistproxy.process.generation import Generation
from twistproxy.process.keeper import Keeper, KeeperHost
from twistproxy.process.restart import RestartPolicy
from twistproxy.process.template_client import TemplateClient


class WorkerSlot(Keeper):
    """Keeps a worker running and passes it the slot's sockets."""

    kind = "worker"

    def __init__(
        self, reactor: Any, number: int, template: TemplateClient, policy: RestartPolicy, host: KeeperHost
    ) -> None:
        super().__init__(reactor, f"worker {number}", template, policy, host)
        self.number = number
        #: workers that were told to drain by a signal of their own; their successor runs already
        self.leaving: set[Child] = set()
        self._passed: set[int] = set()
        self._on_stopped: list[tuple[set[int], Callable[[], None]]] = []

    def prepare(self) -> None:
        for sockets in self._host.generation().sockets:
            sockets.open_slot(self.number)

    def give_up(self) -> None:
        for sockets in self._host.generation().sockets:
            sockets.close_slot(self.number)

    def start(self) -> None:
        self._passed = set()
        super().start()

    def configure(self, child: Child, generation: Generation) -> None:
        entries: list[messages.PassedSocket] = []
        fds: list[int] = []
        for sockets in generation.sockets:
            fd = sockets.descriptor(self.number)
            if fd is None:
                continue
            key = sockets.key(self.number)
            new = key not in self._passed
            entries.append(messages.PassedSocket(key, sockets.spec.listener, str(sockets.address), new))
            if new:
                fds.append(fd)
        # A configuration may be refused: then the worker still has what it had before.
        self._passed |= {entry.key for entry in entries}
        message = replace(
            self._host.config_message(generation),
            slot=self.number,
            sockets=tuple(entries),
            column=self._host.column_of(child),
        )
        child.send(message.encode(), fds)

    def stop_listening(self, keys: set[int], then: Callable[[], None]) -> None:
        """Have the worker accept what waits on these sockets and close them; `then` is called when it has, or
        is gone."""
        if self.child is None or not keys & self._passed:
            then()
            return
        self._on_stopped.append((keys, then))
        self.child.send(messages.stop_listening(sorted(keys)))

    def message(self, child: Child, message: Message) -> None:
        kind = message["t"]
        if kind == "stopped_listening":
            self._stopped(set(message["keys"]))
        elif kind == "leaving" and child is self.child and not self.stopping:
            self.leaving.add(child)
            self.succeed()

    def _stopped(self, keys: set[int] | None) -> None:
        waiting, self._on_stopped = self._on_stopped, []
        for wanted, then in waiting:
            if keys is None or wanted <= keys:
                then()
            else:
                self._on_stopped.append((wanted, then))

    def _gone(self, child: Child) -> None:
        self.leaving.discard(child)
        super()._gone(child)
        self._stopped(None)
