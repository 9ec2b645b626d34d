"""What the router asks of clusters and pools."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Protocol

from twistproxy.api.codec import RequestEncoder


class PoolFailure(IntEnum):
    """Why a pool could not give a stream."""

    OVERFLOW = 0
    CONNECT_FAILURE = 1
    CONNECT_TIMEOUT = 2
    LOCAL_FAILURE = 3


class PoolCallbacks(Protocol):
    """Who wants a stream.  It is also the `ResponseDecoder` of that stream."""

    def pool_ready(self, encoder: RequestEncoder, host: Any) -> None:
        """Encode the request now."""

    def pool_failed(self, failure: PoolFailure, detail: str) -> None: ...
