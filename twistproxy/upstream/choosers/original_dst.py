"""The choice of no choice: a request goes to where it was going anyway (Envoy:
arch_overview/upstream/service_discovery#original-destination)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twistproxy.api.clock import Clock, Timer
from twistproxy.model.address import Address, TcpAddress, parse_tcp_address
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.original_dst import OriginalDstSettings, host_name
from twistproxy.observe.cluster_stats import ClusterStats
from twistproxy.upstream.choosers.base import Chooser, HostsUpdate
from twistproxy.upstream.choosers.context import LoadBalancerContext
from twistproxy.upstream.host import Host

#: Gets the addresses that are in use; called once in a clean-up interval, and with each new one.
Tell = Callable[[list[TcpAddress]], None]


class OriginalDstChooser(Chooser):
    """Makes a host for each destination as it is first met, and tells of it.  The discovery process has all workers know
    it; until then it is `adopt`ed by nobody, and lives here."""

    __slots__ = (
        "_clock",
        "_header",
        "_hosts",
        "_name",
        "_new",
        "_settings",
        "_stats",
        "_tell",
        "_timer",
        "_used",
    )

    def __init__(
        self, name: str, settings: OriginalDstSettings, stats: ClusterStats, clock: Clock, tell: Tell
    ) -> None:
        super().__init__(True)
        self._name = name
        self._settings = settings
        self._header = settings.header.encode()
        self._stats = stats
        self._clock = clock
        self._tell = tell
        self._hosts: dict[Address, Host] = {}
        self._new: dict[Address, Host] = {}  # of which the discovery process has not told yet
        self._used: set[TcpAddress] = set()
        self._timer: Timer | None = None

    def adopt(self, endpoint: Endpoint) -> Host | None:
        host = self._new.pop(endpoint.address, None)
        if host is not None:
            host.use(endpoint)
        return host

    def update(self, update: HostsUpdate) -> None:
        for host in update.removed:
            self._hosts.pop(host.address, None)
        for host in update.added:
            self._hosts[host.address] = host

    def rebuild(self) -> None:
        """Nothing is built."""

    def pick(self) -> Host | None:
        """Without a request there is no destination."""
        return None

    def choose(self, context: LoadBalancerContext) -> Host | None:
        address = self._destination(context)
        if address is None:
            return None
        port = self._settings.port
        if port is not None:
            address = TcpAddress(address.host, port)
        self._used.add(address)
        host = self._hosts.get(address) or self._new.get(address)
        if host is None:
            host = self._new[address] = Host(Endpoint(address, hostname=host_name(self._name, address)))
            self._tell([address])
        if self._timer is None:
            self._timer = self._clock.call_later(self._settings.cleanup_interval, self._report)
        return host

    def _destination(self, context: LoadBalancerContext) -> TcpAddress | None:
        said = context.destination()
        if said is not None:
            return said
        settings = self._settings
        if settings.metadata:
            text = _text_at(context.dynamic_metadata(), settings.metadata)
            if text is not None:
                found = self._parse(text)
                if found is not None:
                    return found
        if self._header:
            field = context.request_header(self._header)
            if field is not None:
                found = self._parse(field.decode("latin-1"))
                if found is not None:
                    return found
        return context.original_destination()

    def _parse(self, text: str) -> TcpAddress | None:
        found = parse_tcp_address(text)
        if found is None:
            self._stats.original_dst_host_invalid += 1
        return found

    def _report(self) -> None:
        """Tell what is in use, and forget what was never told of and is not."""
        self._timer = None
        used, self._used = self._used, set()
        for hosts in (self._hosts, self._new):
            for address, host in hosts.items():
                if isinstance(address, TcpAddress) and (host.stats.cx_active or host.stats.rq_active):
                    used.add(address)
        for address in [address for address in self._new if address not in used]:
            self._new.pop(address).drain()
        if used:
            self._tell(list(used))
            self._timer = self._clock.call_later(self._settings.cleanup_interval, self._report)

    def drain(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for host in self._new.values():
            host.drain()


def _text_at(metadata: Any, path: tuple[str, ...]) -> str | None:
    """The text at a path of dynamic metadata; of a list its first value."""
    for key in path:
        metadata = metadata.get(key) if isinstance(metadata, dict) else None
    if isinstance(metadata, list) and metadata:
        metadata = metadata[0]
    return metadata if isinstance(metadata, str) else None
