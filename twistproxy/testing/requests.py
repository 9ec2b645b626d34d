"""Requests as balancers meet them: each has come through a data plane of its own and waits for its upstream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twistproxy.filters.balancer_context import RequestContext
from twistproxy.filters.retry_hosts import RetryContext
from twistproxy.model.address import TcpAddress
from twistproxy.model.retry import RetryPolicy
from twistproxy.model.route import ClusterAction, RouteMatch, RouteSettings
from twistproxy.network.http_connection_manager import HttpConnection
from twistproxy.stream.stream import Stream
from twistproxy.testing.data_plane import LOCAL, DataPlane, manager, routes_to


def request_context(
    headers: Mapping[str, str] | None = None,
    metadata: dict[str, Any] | None = None,
    local: TcpAddress = LOCAL,
    **action: Any,
) -> RequestContext:
    """What balancers know of a GET with these headers and this dynamic metadata, which came to the address `local` and
    goes by a route with `action` (fields of `ClusterAction`)."""
    stream = _waiting(headers or {}, local, action)
    stream.metadata = metadata
    assert stream.route is not None
    return RequestContext(stream, stream.route, stream.head)


def retry_context(**policy: Any) -> RetryContext:
    """What balancers know of a GET of which nothing is said; `policy`: fields of `RetryPolicy`."""
    stream = _waiting({}, LOCAL, {})
    assert stream.route is not None
    return RetryContext(stream, stream.route, stream.head, RetryPolicy(**policy))


def _waiting(headers: Mapping[str, str], local: TcpAddress, action: Mapping[str, Any]) -> Stream:
    routes = routes_to(RouteSettings(RouteMatch(prefix="/"), ClusterAction("app", **action)))
    client = DataPlane(manager(routes)).client(local=local)
    lines = ["GET / HTTP/1.1", "host: a", *(f"{name}: {value}" for name, value in headers.items())]
    client.receive("".join(f"{line}\r\n" for line in (*lines, "")).encode())
    codec: Any = client.handler  # whichever it is
    connection = codec.callbacks
    assert isinstance(connection, HttpConnection)
    stream = connection.stream
    assert isinstance(stream, Stream)
    return stream
