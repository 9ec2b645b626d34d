"""What the sources of endpoints have in common: whom they tell, and what they count."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from twistproxy.discovery.snapshot import EndpointStore
from twistproxy.model.endpoint import AssignmentPolicy, Endpoint

#: A random number, 0 <= x < 1.
Random = Callable[[], float]


class RunningSource(Protocol):
    """A source at work.  It owns its timers; after `stop` it publishes nothing."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class ClusterUpdates:
    """Through which a source tells of one cluster.  It counts what it is told under Envoy's names.

    `assignment_stale` `assignment_timeout_received` `update_attempt` `update_success` `update_failure`
    `update_rejected` `update_empty` `update_no_rebuild`:
    see "Every cluster" in Envoy's configuration/upstream/cluster_manager/cluster_stats.
    """

    def __init__(self, store: EndpointStore, cluster: str) -> None:
        self.cluster = cluster
        self._store = store
        self._stopped = False
        self.counters = dict.fromkeys(
            (
                "assignment_stale",
                "assignment_timeout_received",
                "update_attempt",
                "update_success",
                "update_failure",
                "update_rejected",
                "update_empty",
                "update_no_rebuild",
            ),
            0,
        )
        self.gauges: dict[str, int] = {}

    def attempt(self) -> None:
        """A query is on its way."""
        self.counters["update_attempt"] += 1

    def success(
        self, endpoints: Iterable[Endpoint], complete: bool = True, policy: AssignmentPolicy | None = None
    ) -> str:
        """These are the endpoints.  Returns a description of what changed, "" if nothing did.

        complete  False while a part of the source has never answered with success
        policy    what the source says of all of them, if it does
        """
        self.counters["update_success"] += 1
        if self._stopped:
            return ""
        delta = self.publish(endpoints, complete, policy)
        if not delta:
            self.counters["update_no_rebuild"] += 1
        return delta

    def publish(
        self, endpoints: Iterable[Endpoint], complete: bool = True, policy: AssignmentPolicy | None = None
    ) -> str:
        """As `success`, for endpoints that nobody had to be asked for: nothing is counted."""
        if self._stopped:
            return ""
        delta = self._store.publish(self.cluster, endpoints, complete, policy)
        return str(delta) if delta else ""

    def failure(self) -> None:
        """The query failed."""
        self._without_answer("update_failure")

    def rejected(self) -> None:
        """There was an answer, but not one for this cluster."""
        self._without_answer("update_rejected")

    def empty(self) -> None:
        """The answer said nothing of this cluster, which goes on with what it has."""
        self.counters["update_success"] += 1
        self._without_answer("update_empty")

    def do_not_wait(self) -> None:
        """Nobody is to wait for the first answer."""
        self._store.failed(self.cluster)

    def stop(self) -> None:
        """The source is no longer the cluster's: publish nothing more."""
        self._stopped = True

    def _without_answer(self, counter: str) -> None:
        self.counters[counter] += 1
        if not self._stopped:
            self._store.failed(self.cluster)
