"""Handlers of connections that are refused, now or with their next bytes."""

from __future__ import annotations

from typing import Any

from twistproxy.api.transport import Transport
from twistproxy.model.overload import SHED_CODEC, SHED_DISPATCH
from twistproxy.network.http_connection_manager import HttpConnection
from twistproxy.primitives.overload import Overload


class RefusedConnection:
    """It is closed already; whatever it still says is ignored."""

    def __init__(self, transport: Transport) -> None:
        transport.loseConnection()

    def data_received(self, data: bytes) -> None: ...

    def read_ended(self) -> None: ...

    def connection_lost(self, reason: str) -> None: ...


class GuardedDispatch:
    """Stands before the codec of an `HttpConnection` where load shed points look at what comes from a client."""

    def __init__(self, codec: Any, overload: Overload) -> None:
        self._codec = codec
        self._connection: HttpConnection = codec.callbacks
        self._overload = overload
        self._begun = False

    def data_received(self, data: bytes) -> None:
        codec = self._codec
        if not self._begun:
            self._begun = True
            if self._overload.sheds(SHED_CODEC):
                codec.close()
                return
        if not codec.closed and self._overload.sheds(SHED_DISPATCH):
            self._connection.overloaded()
            return
        codec.data_received(data)

    def read_ended(self) -> None:
        self._codec.read_ended()

    def connection_lost(self, reason: str) -> None:
        self._codec.connection_lost(reason)
