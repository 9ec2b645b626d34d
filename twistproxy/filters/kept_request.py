"""A request as far as it has come, kept so that another attempt can have all of it."""

from __future__ import annotations

from twistproxy.filters.upstream_request import UpstreamRequest
from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import RequestHead
from twistproxy.model.retry import RequestPlan

#: Bytes of a request that are kept for another attempt (Envoy's default for per_connection_buffer_limit_bytes).
BUFFER_LIMIT = 1024 * 1024


def body_limit(plan: RequestPlan, of_listener: int) -> int:
    """How many bytes of a request are kept for another attempt."""
    return of_listener if plan.buffer_limit is None else plan.buffer_limit


class KeptRequest:
    """head      what goes to the upstream; attempts change it
    limit     bytes of content that are kept
    complete  its end has come
    trailers  None if there are none (yet)
    """

    __slots__ = ("_bytes", "_pieces", "complete", "head", "limit", "trailers")

    def __init__(self, head: RequestHead, limit: int, complete: bool) -> None:
        self.head = head
        self.limit = limit
        self.complete = complete
        self.trailers: HeaderMap | None = None
        self._pieces: list[bytes] = []
        self._bytes = 0

    def keep(self, data: bytes) -> bool:
        """False if it is too much; then nothing is kept any more."""
        self._bytes += len(data)
        if self._bytes > self.limit:
            self.forget()
            return False
        self._pieces.append(data)
        return True

    def forget(self) -> None:
        self._pieces = []

    @property
    def content(self) -> bytes:
        """What has come of it, if it is kept."""
        return b"".join(self._pieces)

    @property
    def head_only(self) -> bool:
        return self.complete and not self._pieces and self.trailers is None

    def send(self, attempt: UpstreamRequest) -> None:
        """Give an attempt that has the head the rest of it."""
        if self._pieces:
            attempt.send_data(self.content, self.complete and self.trailers is None)
        if self.trailers is not None:
            attempt.send_trailers(self.trailers)
