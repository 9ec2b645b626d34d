"""What lies around a stream: what all streams of a connection manager share, and their connection.

Base classes and no Protocols: compiled, their attributes are read without being looked up.
`stream` is always a `stream.Stream`.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twistproxy.api.codec import ServerCodec
from twistproxy.api.filter_state import FilterState
from twistproxy.api.http_filter import FilterChain
from twistproxy.http.message import RequestHead
from twistproxy.model.address import TcpAddress
from twistproxy.model.http_manager import HttpManagerSettings
from twistproxy.observe.early_logs import EarlyLogs
from twistproxy.observe.log_reason import ReasonSource
from twistproxy.observe.manager_stats import HttpManagerStats
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.stream.local_replies import LocalReplies
from twistproxy.stream.request_headers import RequestHeaders
from twistproxy.stream.response_headers import ResponseHeaders


class Context:
    """What all streams of one connection manager share."""

    settings: HttpManagerSettings
    stats: HttpManagerStats
    monotonic: Callable[[], float]
    deadlines: Deadlines
    random: Random
    runtime: RuntimeValues
    early_logs: EarlyLogs | None
    metered: bool
    reasons: ReasonSource | None
    local_replies: LocalReplies | None
    request_headers: RequestHeaders
    response_headers: ResponseHeaders
    chain: FilterChain
    pick_route: Callable[[RequestHead, Any], Any]
    buffer_limit: int
    stream_idle_timeout: float
    max_stream_duration: float
    first_timeout: float
    request_timeout: float
    admit_upgrade: Callable[[Any, RequestHead], FilterChain | None]

    def check(self, stream: Any, head: RequestHead, /) -> bool:
        """Whether the request can be routed; if not, it has been answered."""
        raise NotImplementedError

    def idle_limit(self, whole: float) -> float:
        """How long a stream may be silent at the moment whose own limit is `whole` seconds."""
        return whole

    def log(self, stream: Any, complete: bool) -> None:
        """It is over.  `complete`: what is left of the response is about to be encoded."""
        raise NotImplementedError

    def log_redirected(self, stream: Any) -> None:
        """The stream is about to begin anew."""
        raise NotImplementedError


class Connection:
    """The downstream connection of a stream.  `filter_state`: what all of its streams begin with, None for nothing."""

    __slots__ = ("codec", "filter_state", "number", "remote_host", "tls")

    number: int
    filter_state: FilterState | None
    codec: ServerCodec
    remote_host: str
    tls: bool

    @property
    def remote_text(self) -> str:
        raise NotImplementedError

    @property
    def local_text(self) -> str:
        raise NotImplementedError

    @property
    def original_destination(self) -> TcpAddress | None:
        """Where it was going before it was redirected to us, as far as that was asked for."""
        raise NotImplementedError

    @property
    def local_port(self) -> int:
        raise NotImplementedError

    def stream_ended(self, stream: Any, now: float) -> None:
        raise NotImplementedError

    def upgraded(self) -> None:
        """The request asks for a tunnel, and may."""
        raise NotImplementedError

    def answered_early(self) -> None:
        """The response about to be encoded begins before the whole request was read: let it be the last one."""
        raise NotImplementedError
