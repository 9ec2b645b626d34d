"""gRPC checks: `grpc.health.v1.Health/Check` over HTTP/2 (Envoy: GrpcHealthCheckerImpl)."""

from __future__ import annotations

from twistproxy.api.clock import Clock
from twistproxy.api.transport import Connects
from twistproxy.codec.h2_calls import Fields
from twistproxy.discovery.health.grpc_message import SERVING, request_frame, serving_status, split_frames
from twistproxy.discovery.health.h2_probe import H2Probe
from twistproxy.discovery.health.probe import Failure, Results
from twistproxy.discovery.health.request_head import RequestHeads
from twistproxy.http.message import HttpVersion, RequestHead
from twistproxy.model.address import Address
from twistproxy.model.health_check import GrpcCheck, HealthCheckSettings

_PATH = "/grpc.health.v1.Health/Check"
_FIRST = ((b"te", b"trailers"), (b"content-type", b"application/grpc"))
_STATUS = b"grpc-status"
#: No answer of a health service is longer.
_MOST_HELD = 64 * 1024


class GrpcProbe(H2Probe):
    """See `h2_probe.H2Probe`."""

    __slots__ = ("_heads", "_held", "_message", "_request", "_timeout")

    def __init__(
        self,
        clock: Clock,
        connector: Connects,
        address: Address,
        settings: HealthCheckSettings,
        authority: str,
        where: str,
        connect_timeout: float,
        results: Results,
    ) -> None:
        super().__init__(connector, address, connect_timeout, settings.reuse_connection, results)
        check = settings.check
        assert isinstance(check, GrpcCheck)
        self._heads = RequestHeads(
            clock, "POST", _PATH, authority, check.metadata, where, _FIRST, HttpVersion.HTTP2
        )
        self._request = request_frame(check.service_name)
        self._timeout = settings.timeout
        self._held = b""
        self._message: bytes | None = None

    def request(self) -> tuple[RequestHead, bytes]:
        self._held = b""
        self._message = None
        head = self._heads.make()
        head.set(b"grpc-timeout", b"%dm" % round(self._timeout * 1000))
        return head, self._request

    # ---- `CallSink`

    def call_head(self, fields: Fields, ended: bool) -> None:
        status = fields.get(_STATUS)
        if fields.get(b":status") != b"200":
            self._complete(status if ended else None, ended)
        elif ended:
            self._complete(status, True)
        elif not _is_grpc(fields.get(b"content-type", b"")):
            self._complete(None, False)

    def call_data(self, data: bytes, ended: bool) -> None:
        if ended:
            self._complete(None, True)
            return
        frames, self._held = split_frames(self._held + data)
        if len(self._held) > _MOST_HELD:
            self._complete(None, False)
            return
        for flags, message in frames:
            if message:
                if flags or self._message is not None:
                    self._complete(None, False)
                    return
                self._message = message

    def call_trailers(self, fields: Fields) -> None:
        self._complete(fields.get(_STATUS), True)

    def _complete(self, status: bytes | None, ended: bool) -> None:
        """The call is over.  `status`: that of gRPC, None if the protocol was broken; `ended`: so is the stream."""
        self._over(ended)
        if status == b"0" and self._message is not None and _is_serving(self._message):
            self._results.succeeded()
        else:
            self._results.failed(Failure.ACTIVE)


def _is_grpc(content_type: bytes) -> bool:
    """Envoy: Grpc::Common::hasGrpcContentType."""
    return content_type == b"application/grpc" or content_type.startswith(b"application/grpc+")


def _is_serving(message: bytes) -> bool:
    try:
        return serving_status(message) == SERVING
    except ValueError:
        return False
