"""Requests that say which hosts they want (envoy.extensions.load_balancing_policies.override_host.v3)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from twistproxy.model.balancing import OverrideSource
from twistproxy.model.endpoint import Endpoint
from twistproxy.observe.stats import Snapshot
from twistproxy.upstream.choosers.base import Chooser, HostsUpdate
from twistproxy.upstream.choosers.context import LoadBalancerContext
from twistproxy.upstream.host import Host


class OverrideChooser(Chooser):
    """The first host that the request wants and that is there, whatever its health; for the next attempt the next one.
    For all else another chooser.

    sources  where requests say so: "address:port", several of them separated by commas
    """

    __slots__ = ("_by_address", "_hosts", "_inner", "_sources")

    def __init__(self, inner: Chooser, sources: tuple[OverrideSource, ...]) -> None:
        super().__init__(True)
        self.own_policies = inner.own_policies
        self._inner = inner
        self._sources = [(source.header.encode(), source) for source in sources]
        self._hosts: Collection[Host] = ()
        self._by_address: dict[str, Host] | None = None

    def update(self, update: HostsUpdate) -> None:
        self._hosts = update.hosts
        self._by_address = None
        self._inner.update(update)

    def adopt(self, endpoint: Endpoint) -> Host | None:
        return self._inner.adopt(endpoint)

    def drain(self) -> None:
        self._inner.drain()

    def rebuild(self) -> None:
        self._inner.rebuild()

    def pick(self) -> Host | None:
        return self._inner.pick()

    def picking(self) -> Callable[[], Host | None]:
        return self._inner.picking()

    def peek(self) -> Host | None:
        return self._inner.peek()

    def collect(self, prefix: str, out: Snapshot) -> None:
        self._inner.collect(prefix, out)

    def choose(self, context: LoadBalancerContext) -> Host | None:
        wanted = context.wanted
        if wanted is None:
            wanted = context.wanted = self._wanted(context)
        while wanted:
            host = self._find(wanted.pop(0))
            if host is not None:
                return host
        return self._inner.choose(context)

    def _wanted(self, context: LoadBalancerContext) -> list[str]:
        found: list[str] = []
        for header, source in self._sources:
            if header:
                value = context.request_header(header)
                text = None if value is None else value.decode("latin-1")
            else:
                text = _text_at(context.dynamic_metadata(), (source.key, *source.path))
            if text is not None:
                found.extend([one.strip() for one in text.split(",") if one.strip()])
        return found

    def _find(self, address: str) -> Host | None:
        hosts = self._by_address
        if hosts is None:
            hosts = self._by_address = {host.address_text: host for host in self._hosts}
        return hosts.get(address)


def _text_at(metadata: Mapping[str, Any] | None, path: tuple[str, ...]) -> str | None:
    found: Any = metadata
    for key in path:
        if not isinstance(found, Mapping):
            return None
        found = found.get(key)
    return found if isinstance(found, str) else None
