"""Connections of checks whose sockets are as those of their cluster's traffic (`upstream_bind_config`)."""

from __future__ import annotations

from twistproxy.api.transport import ConnectAttempt, ConnectCallbacks, Connector, Transport, TransportHandler
from twistproxy.model.address import Address
from twistproxy.model.sockets import UpstreamSockets, ways_to


class BoundConnector:
    """The part of `api.transport.Connector` that checks need."""

    __slots__ = ("_connector", "_sockets")

    def __init__(self, connector: Connector, sockets: UpstreamSockets) -> None:
        self._connector = connector
        self._sockets = sockets

    def connect(self, address: Address, timeout: float, callbacks: ConnectCallbacks) -> ConnectAttempt:
        return self._connector.dial(ways_to((address,), self._sockets), timeout, _Dialled(callbacks))


class _Dialled:
    """`api.transport.DialCallbacks` for who wants to know less."""

    __slots__ = ("_callbacks",)

    def __init__(self, callbacks: ConnectCallbacks) -> None:
        self._callbacks = callbacks

    def connected(self, transport: Transport) -> TransportHandler:
        return self._callbacks.connected(transport)

    def connect_failed(self, reason: str, timed_out: bool) -> None:
        self._callbacks.connect_failed(reason, timed_out)

    def tried_another(self) -> None:
        """There is only one address."""

    def dial_failed(self, reason: str, local: bool, binding: bool) -> None:
        self._callbacks.connect_failed(reason, False)
