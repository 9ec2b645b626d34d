"""What a discovery process learns of the time before it: workers tell a new one what its predecessor had told them.

Without that, hosts that are only there because their health checks pass would be gone, and what was found out about the
others would have to be found out again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from twistproxy.api.clock import Timer
from twistproxy.discovery.snapshot import EndpointStore
from twistproxy.ipc.frame import Message
from twistproxy.model.endpoint import AssignmentPolicy, Endpoint

#: Seconds that workers have.  They look for a new discovery process at least as often.
GRACE = 1.2


class Recall:
    """One worker is asked about each cluster, the first that knows it.

    done  called once: when all clusters of the store are known, or the time is up
    """

    def __init__(
        self, store: EndpointStore, call_later: Callable[..., Timer], done: Callable[[], None]
    ) -> None:
        self._store = store
        self._done: Callable[[], None] | None = done
        self._waiting = set(store.versions())
        self._asked: set[str] = set()
        self._parts: dict[str, list[Endpoint]] = {}
        self._timer: Timer | None = call_later(GRACE, self._late)

    def wanted(self, known: Collection[str]) -> list[str]:
        """A worker knows these: of which of them it is to tell."""
        if self._done is None:
            return []
        found = [name for name in known if name in self._waiting and name not in self._asked]
        self._asked.update(found)
        return found

    def heard(self, message: Message) -> None:
        """A worker tells what it knows of a cluster, or a part of that."""
        cluster: str = message["cluster"]
        if self._done is None or cluster not in self._asked:
            return
        endpoints = self._parts.setdefault(cluster, [])
        endpoints += map(Endpoint.from_json, message["endpoints"])
        if message["last"]:
            policy: Any = message.get("policy")
            self._store.restore(
                cluster, endpoints, None if policy is None else AssignmentPolicy.from_json(policy)
            )
            del self._parts[cluster]
            self._waiting.discard(cluster)
            if not self._waiting:
                self._end()

    def _late(self) -> None:
        self._timer = None
        self._end()

    def _end(self) -> None:
        done = self._done
        self.stop()
        if done is not None:
            done()

    def stop(self) -> None:
        """Ask nothing more."""
        self._done = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
