"""A chooser that can tell ahead whom it will choose, for connections that are made before there are requests (Envoy:
LoadBalancerBase::peekAnotherHost)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection

from twistproxy.observe.stats import Snapshot
from twistproxy.upstream.choosers.base import Chooser, HostsUpdate
from twistproxy.upstream.choosers.context import LoadBalancerContext
from twistproxy.upstream.host import Host


def looking_ahead(chooser: Chooser, policy: str) -> Chooser:
    """The chooser of a cluster with this policy, so that it can tell ahead, if it can.  Least request depends on what
    will be then, hashes and subsets on the request."""
    if policy in ("ROUND_ROBIN", "RANDOM") and not chooser.contextual:
        return PeekingChooser(chooser)
    return chooser


class PeekingChooser(Chooser):
    """What `peek` has told is what is chosen next.  `inner`, which does not look at requests, makes the choice."""

    __slots__ = ("_ahead", "_hosts", "_inner")

    def __init__(self, inner: Chooser) -> None:
        super().__init__(False)
        self._inner = inner
        self._ahead: deque[Host] = deque()
        self._hosts: Collection[Host] = ()

    def peek(self) -> Host | None:
        """One more host of those that will be chosen; None if as many are known as there are healthy ones."""
        if len(self._ahead) >= sum(host.healthy for host in self._hosts):
            return None
        host = self._inner.pick()
        if host is not None:
            self._ahead.append(host)
        return host

    def update(self, update: HostsUpdate) -> None:
        self._ahead.clear()
        self._hosts = update.hosts
        self._inner.update(update)

    def rebuild(self) -> None:
        self._ahead.clear()
        self._inner.rebuild()

    def picking(self) -> Callable[[], Host | None]:
        return self.pick

    def pick(self) -> Host | None:
        return self._ahead.popleft() if self._ahead else self._inner.pick()

    def choose_once(self, context: LoadBalancerContext, attempt: int) -> Host | None:
        if self._ahead and context.only is None:
            return self._ahead.popleft()
        return self._inner.choose_once(context, attempt)

    def collect(self, prefix: str, out: Snapshot) -> None:
        self._inner.collect(prefix, out)
