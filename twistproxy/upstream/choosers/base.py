"""What all choosers have in common."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from twistproxy.model.endpoint import Endpoint
from twistproxy.observe.stats import Snapshot
from twistproxy.upstream.choosers.context import LoadBalancerContext, OwnPolicies
from twistproxy.upstream.host import Host


class HostsUpdate:
    """A change of a cluster's hosts.

    hosts    all of them now, whatever their health
    added    those that are new
    removed  those that are gone
    changed  those that stay, of which discovery says something else than before
    """

    __slots__ = ("added", "changed", "hosts", "removed")

    def __init__(
        self,
        hosts: Collection[Host],
        added: Sequence[Host] = (),
        removed: Sequence[Host] = (),
        changed: Sequence[Host] = (),
    ) -> None:
        self.hosts = hosts
        self.added = added
        self.removed = removed
        self.changed = changed


class Chooser:
    """Chooses hosts of one cluster, after `update` has told of some.

    contextual  it looks at requests: `choose` is to be asked with a context.  Otherwise `pick` will do.
    own_policies  the hash policies of the cluster itself, None where hashes are not looked at
    """

    __slots__ = ("contextual", "own_policies")

    def __init__(self, contextual: bool) -> None:
        self.contextual = contextual
        self.own_policies: OwnPolicies | None = None

    def update(self, update: HostsUpdate) -> None:
        """The hosts are others now."""
        raise NotImplementedError

    def adopt(self, endpoint: Endpoint) -> Host | None:
        """The host for this endpoint, if there is one already of which nothing has been told so far."""
        return None

    def rebuild(self) -> None:
        """The hosts are the same, but the parameters have changed."""
        raise NotImplementedError

    def pick(self) -> Host | None:
        """A host where nothing is known of the request; None if there is none."""
        raise NotImplementedError

    def picking(self) -> Callable[[], Host | None]:
        """`pick`, or what is shorter and does the same until the next update."""
        return self.pick

    def peek(self) -> Host | None:
        """One more host of those that will be chosen; None if that cannot be said."""
        return None

    def choose(self, context: LoadBalancerContext) -> Host | None:
        """The host for this request: one that the context likes, if a few looks find one; else any."""
        host = self.choose_once(context, 0)
        for attempt in range(1, context.host_attempts + 1):
            if host is None or not context.should_select_another(host):
                break
            host = self.choose_once(context, attempt)
        return host

    def choose_once(self, context: LoadBalancerContext, attempt: int) -> Host | None:
        """`attempt`: how many hosts were looked at before."""
        raise NotImplementedError

    def drain(self) -> None:
        """The cluster is gone: so are timers, and hosts that are not the cluster's."""

    def collect(self, prefix: str, out: Snapshot) -> None:
        """Its own statistics, under `prefix`, which ends in a dot."""
