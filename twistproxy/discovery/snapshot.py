"""The desired endpoints of all clusters, with versions.

Pure: what publishes into it and who is told is elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Protocol

from twistproxy.discovery.cluster_state import ClusterState, HealthChecker
from twistproxy.discovery.history import EndpointDelta
from twistproxy.model.address import Address
from twistproxy.model.endpoint import AssignmentPolicy, Endpoint, EndpointChanges, EndpointSet
from twistproxy.model.health import ACTIVE_CHECKS, PENDING_DYNAMIC_REMOVAL

NO_CHANGE = EndpointDelta((), (), ())


class EndpointWatcher(Protocol):
    """Who has something to say of endpoints before they are published."""

    def endpoint_added(self, cluster: str, endpoint: Endpoint) -> Endpoint:
        """There is a new one.  Returns it with the flags and the row that it is to have."""

    def endpoint_removed(self, cluster: str, endpoint: Endpoint) -> None:
        """It is gone."""


class EndpointStore:
    """The newest endpoints of each cluster, and what has changed of late.

    changed  called with a cluster's name after its state has changed, or it is gone
    watcher  hears of endpoints that come and go
    monotonic  the clock of `Endpoint.since`
    """

    def __init__(
        self,
        changed: Callable[[str], None],
        watcher: EndpointWatcher | None = None,
        monotonic: Callable[[], float] = float,
    ) -> None:
        self._changed = changed
        self.watcher = watcher
        self._monotonic = monotonic
        self._timed: frozenset[str] = frozenset()
        self._clusters: dict[str, ClusterState] = {}
        # One count for all clusters: a cluster that goes and comes back does not repeat a version.
        self._version = 0

    def get(self, cluster: str) -> EndpointSet | None:
        """The state of one cluster."""
        state = self._clusters.get(cluster)
        return None if state is None else state.whole(cluster)

    def all(self) -> tuple[EndpointSet, ...]:
        """The state of all clusters."""
        return tuple(state.whole(cluster) for cluster, state in self._clusters.items())

    def versions(self) -> dict[str, int]:
        """The version of each cluster."""
        return {cluster: state.version for cluster, state in self._clusters.items()}

    def version(self, cluster: str) -> int | None:
        """The version of one cluster; None if it is gone."""
        state = self._clusters.get(cluster)
        return None if state is None else state.version

    def size(self, cluster: str) -> int:
        """How many endpoints a cluster has."""
        state = self._clusters.get(cluster)
        return 0 if state is None else len(state.endpoints)

    def changes(self, cluster: str, since: int) -> EndpointChanges | None:
        """What has become of that version; None if that is not known any more: then the whole state is to be told."""
        state = self._clusters.get(cluster)
        if state is None or not state.complete or not state.resolved:
            return None
        return state.history.since(cluster, since, state.version, state.endpoints)

    def complete(self, cluster: str) -> bool:
        """Whether a source of `cluster` has ever answered with success, in all of its parts."""
        state = self._clusters.get(cluster)
        return state is not None and state.complete

    def declare(self, cluster: str) -> None:
        """`cluster` has a source from now on.

        What an earlier source of it found stays until this one answers.
        """
        if cluster not in self._clusters:
            self._make(cluster)

    def _make(self, cluster: str) -> ClusterState:
        state = self._clusters[cluster] = ClusterState()
        if cluster in self._timed:
            state.monotonic = self._monotonic
        self._put(cluster)
        return state

    def note_times(self, clusters: Iterable[str]) -> None:
        """Of the endpoints of these clusters, and of no others, `Endpoint.since` is to be noted from now on."""
        self._timed = frozenset(clusters)
        for cluster, state in self._clusters.items():
            timed = cluster in self._timed
            if timed != (state.monotonic is not None):
                state.monotonic = self._monotonic if timed else None
                self.dress_again(cluster, state.time if timed else _untimed)

    def publish(
        self,
        cluster: str,
        endpoints: Iterable[Endpoint],
        complete: bool = True,
        policy: AssignmentPolicy | None = None,
    ) -> EndpointDelta:
        """The source of `cluster` has answered.  Ignored, with an empty delta, if the cluster is not
        declared.

        Endpoints that stay keep their flags and their rows.

        complete  False while a part of the source has never answered with success
        policy    what it says of all of them, if it does
        """
        state = self._clusters.get(cluster)
        if state is None:
            return EndpointDelta((), (), ())
        new: dict[Address, Endpoint] = {}
        for endpoint in endpoints:
            # Of those with one address the first: so Envoy reads an assignment that repeats one.
            new.setdefault(endpoint.address, endpoint)
        checker = state.checker
        if checker is not None:
            for address in checker.keeps(state.endpoints, new.keys()):
                new[address] = state.endpoints[address]
        delta = self._take(cluster, state, new)
        flagged = checker is not None and state.flag(checker.settle(delta), ACTIVE_CHECKS)
        news = not state.resolved or (complete and not state.complete) or policy != state.policy
        state.policy = policy
        state.resolved = checker is None or checker.warm
        state.complete = state.complete or complete
        if news:
            state.history.clear()
        if delta or flagged or news:
            self._put(cluster)
        return delta

    def restore(
        self, cluster: str, endpoints: Iterable[Endpoint], policy: AssignmentPolicy | None = None
    ) -> None:
        """An earlier discovery process has published these.  They count until the source has answered, and what its
        health checks had found does.  Ignored if anything is known of the cluster already."""
        state = self._clusters.get(cluster)
        if state is None or state.resolved or state.endpoints:
            return
        checker = state.checker
        kept = [one for one in endpoints if checker is not None or not one.flags & PENDING_DYNAMIC_REMOVAL]
        if not kept:
            return
        mask = 0 if checker is None else ACTIVE_CHECKS
        for one in kept:
            given = replace(one, flags=0, row=-1, since=0.0)
            dressed = self._dressed(cluster, state, given)
            since = one.since if one.since and dressed.since else dressed.since
            state.given[one.address] = given
            state.endpoints[one.address] = replace(
                dressed, flags=dressed.flags | one.flags & mask, since=since
            )
        if checker is not None:
            checker.restore(tuple(state.endpoints.values()))
        state.policy = policy
        state.resolved = checker is None or checker.warm
        state.history.clear()
        self._put(cluster)

    def check(self, cluster: str, checker: HealthChecker | None) -> None:
        """`checker` checks the cluster's health from now on; None: nobody does."""
        state = self._clusters.get(cluster)
        if state is None:
            if checker is None:
                return
            state = self._make(cluster)
        state.checker = checker
        if not state.resolved and not state.endpoints:
            return  # nothing is known yet
        self._take(
            cluster,
            state,
            {a: one for a, one in state.endpoints.items() if not one.flags & PENDING_DYNAMIC_REMOVAL},
        )
        state.flag(dict.fromkeys(state.endpoints, 0), ACTIVE_CHECKS)
        if checker is not None:
            all_new = EndpointDelta(tuple(state.endpoints.values()), (), ())
            state.flag(checker.settle(all_new), ACTIVE_CHECKS)
        state.resolved = checker is None or checker.warm
        state.history.clear()
        self._put(cluster)

    def checked(self, cluster: str, flags: Mapping[Address, int], removed: Collection[Address]) -> None:
        """The checker of a cluster has changed flags of endpoints, or drops some, or has become warm."""
        state = self._clusters.get(cluster)
        if state is None or state.checker is None:
            return
        changed = bool(removed)
        if removed:
            delta = self._take(
                cluster, state, {a: one for a, one in state.endpoints.items() if a not in removed}
            )
            state.flag(state.checker.settle(delta), ACTIVE_CHECKS)
        changed = state.flag(flags, ACTIVE_CHECKS) or changed
        if not state.resolved and state.checker.warm:
            state.resolved = changed = True
            state.history.clear()
        if changed:
            self._put(cluster)

    def set_flags(self, cluster: str, flags: Mapping[Address, int], mask: int) -> None:
        """Of the health of these endpoints (`model.health`), what is under `mask` is this from now on.  Addresses that
        the cluster does not have are ignored."""
        state = self._clusters.get(cluster)
        if state is not None and state.flag(flags, mask):
            self._put(cluster)

    def dress_again(self, cluster: str, dress: Callable[[Endpoint], Endpoint]) -> None:
        """Change what is said of all endpoints of a cluster."""
        state = self._clusters.get(cluster)
        if state is None:
            return
        changed = [new for old in state.endpoints.values() if (new := dress(old)) != old]
        if changed:
            state.describe(changed)
            self._put(cluster)

    def _take(self, cluster: str, state: ClusterState, new: dict[Address, Endpoint]) -> EndpointDelta:
        """The endpoints are these; whoever wants to know hears of it."""
        delta = state.take(new, partial(self._dressed, cluster, state))
        self._forget(cluster, delta.removed)
        return delta

    def _dressed(self, cluster: str, state: ClusterState, endpoint: Endpoint) -> Endpoint:
        """A new endpoint as it is to be published."""
        dressed = endpoint if self.watcher is None else self.watcher.endpoint_added(cluster, endpoint)
        dressed = state.time(dressed)
        if dressed is not endpoint:
            state.given[endpoint.address] = endpoint
        return dressed

    def _forget(self, cluster: str, removed: Iterable[Endpoint]) -> None:
        if self.watcher is not None:
            for endpoint in removed:
                self.watcher.endpoint_removed(cluster, endpoint)

    def failed(self, cluster: str) -> None:
        """The source of `cluster` has answered with a failure: what the cluster has stays.

        It counts as resolved from then on: Envoy, too, ends the warming of a cluster at the first answer,
        whatever it was.
        """
        state = self._clusters.get(cluster)
        if state is not None and not state.resolved:
            checker = state.checker
            if checker is not None:
                checker.settle(NO_CHANGE)
                if not checker.warm:
                    return  # it had endpoints before, which are being checked
            state.resolved = True
            state.history.clear()
            self._put(cluster)

    def remove(self, cluster: str) -> None:
        """`cluster` has no source any more."""
        state = self._clusters.pop(cluster, None)
        if state is not None:
            self._forget(cluster, state.endpoints.values())
            self._changed(cluster)

    def _put(self, cluster: str) -> None:
        self._version += 1
        self._clusters[cluster].version = self._version
        self._changed(cluster)


def _untimed(endpoint: Endpoint) -> Endpoint:
    return replace(endpoint, since=0.0)
