"""gRPC checks: `grpc.health.v1.Health/Check` over HTTP/2 (Envoy: GrpcHealthCheckerImpl)."""

from __future__ import annotations

from twistproxy.api.clock import Clock
from twistproxy.api.transport import ConnectAttempt, Connector, Transport
from twistproxy.codec.h2_calls import Fields, H2Calls
from twistproxy.discovery.health.grpc_message import SERVING, request_frame, serving_status, split_frames
from twistproxy.discovery.health.probe import Failure, Results
from twistproxy.discovery.health.request_head import RequestHeads
from twistproxy.errors import RemoteProtocolError
from twistproxy.http.message import HttpVersion
from twistproxy.model.address import Address
from twistproxy.model.health_check import GrpcCheck, HealthCheckSettings

_PATH = "/grpc.health.v1.Health/Check"
_FIRST = ((b"te", b"trailers"), (b"content-type", b"application/grpc"))
_STATUS = b"grpc-status"
#: No answer of a health service is longer.
_MOST_HELD = 64 * 1024


class GrpcProbe:
    """See `probe.Probe`, `api.transport.ConnectCallbacks`, `api.transport.TransportHandler` and `h2_calls.CallSink`."""

    __slots__ = (
        "_address",
        "_attempt",
        "_calls",
        "_connect_timeout",
        "_connector",
        "_going_away",
        "_heads",
        "_held",
        "_message",
        "_request",
        "_results",
        "_reuse",
        "_timeout",
        "_transport",
    )

    def __init__(
        self,
        clock: Clock,
        connector: Connector,
        address: Address,
        settings: HealthCheckSettings,
        authority: str,
        where: str,
        connect_timeout: float,
        results: Results,
    ) -> None:
        check = settings.check
        assert isinstance(check, GrpcCheck)
        self._connector = connector
        self._address = address
        self._heads = RequestHeads(
            clock, "POST", _PATH, authority, check.metadata, where, _FIRST, HttpVersion.HTTP2
        )
        self._request = request_frame(check.service_name)
        self._timeout = settings.timeout
        self._connect_timeout = connect_timeout
        self._reuse = settings.reuse_connection
        self._results = results
        self._attempt: ConnectAttempt | None = None
        self._transport: Transport | None = None
        self._calls: H2Calls | None = None
        self._going_away = False
        self._held = b""
        self._message: bytes | None = None

    # ---- `Probe`

    def begin(self) -> None:
        if self._calls is None:
            self._attempt = self._connector.connect(self._address, self._connect_timeout, self)
        else:
            self._call(self._calls)

    def give_up(self) -> None:
        if self._calls is None or self._going_away or not self._reuse:
            self.close()
        else:
            self._calls.cancel()

    def close(self) -> None:
        attempt, self._attempt = self._attempt, None
        transport, self._transport = self._transport, None
        self._calls = None
        if attempt is not None:
            attempt.cancel()
        if transport is not None:
            transport.abortConnection()

    # ---- `ConnectCallbacks`

    def connected(self, transport: Transport) -> GrpcProbe:
        self._attempt = None
        self._transport = transport
        self._going_away = False
        self._calls = calls = H2Calls(transport.write, self)
        self._call(calls)
        return self

    def connect_failed(self, reason: str, timed_out: bool) -> None:
        self._attempt = None
        self._results.failed(Failure.NETWORK)

    def _call(self, calls: H2Calls) -> None:
        self._held = b""
        self._message = None
        head = self._heads.make()
        head.set(b"grpc-timeout", b"%dm" % round(self._timeout * 1000))
        pseudo = [
            (b":method", head.method),
            (b":path", head.path),
            (b":authority", head.authority),
            (b":scheme", b"http"),
        ]
        calls.call(pseudo + head.items, self._request)

    # ---- `TransportHandler`

    def data_received(self, data: bytes) -> None:
        if self._calls is not None:
            try:
                self._calls.receive(data)
            except RemoteProtocolError:
                self._lost()

    def read_ended(self) -> None:
        self._lost()

    def connection_lost(self, reason: str) -> None:
        self._lost()

    def _lost(self) -> None:
        """The connection is of no use any more."""
        calls = self._calls
        if calls is not None:
            waiting = calls.active
            self.close()
            if waiting:
                self._results.failed(Failure.NETWORK)

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

    def call_reset(self) -> None:
        if self._going_away or not self._reuse:
            self.close()
        self._results.failed(Failure.NETWORK)

    def going_away(self, orderly: bool) -> None:
        """A server that leaves in order may finish the check first."""
        if orderly and self._calls is not None and self._calls.active:
            self._going_away = True
        else:
            self._lost()

    def _complete(self, status: bytes | None, ended: bool) -> None:
        """The call is over.  `status`: that of gRPC, None if the protocol was broken; `ended`: so is the stream."""
        if not ended and self._calls is not None:
            self._calls.cancel()
        if self._going_away or not self._reuse:
            self.close()
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
