"""A request for an upgrade, or a CONNECT that goes on to an HTTP proxy (Envoy: arch_overview/http/upgrades)."""

from __future__ import annotations

from twistproxy.api.codec import RequestEncoder
from twistproxy.filters.upstream_request import UpstreamRequest
from twistproxy.http.message import ResponseHead
from twistproxy.http.proxy_protocol import proxy_header
from twistproxy.stream.upgrades import open_tunnel
from twistproxy.upstream.host import Host


class UpgradeRequest(UpstreamRequest):
    """What the client sends behind its head is held until the upstream has accepted the tunnel, since it could be
    taken for something else by one that does not.  Then both connections are joined by `open_tunnel`."""

    __slots__ = ()

    def pool_ready(self, encoder: RequestEncoder, host: Host) -> None:
        self._encoder = encoder
        if host.outlier is not None:
            host.outlier.connected()
        stream = self._stream
        stream.host = host
        stream.attached(encoder)
        route = stream.route
        connect = None if route is None else route.connect
        if connect is not None and connect.proxy_protocol and not self._pool.speaks_http:
            connection = stream.connection
            header = proxy_header(connect.proxy_protocol, connection.remote_text, connection.local_text)
            encoder.encode_data(header, False)
        encoder.encode_upgrade(self._head)

    def send_data(self, data: bytes, end_stream: bool) -> None:
        encoder = self._encoder
        if end_stream:
            self._request_ended()
        if encoder is not None and encoder.switched:
            encoder.encode_data(data, end_stream)
            return
        if self._held is None:
            self._held = []
        self._end_stream = end_stream
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > self.held_limit() and not self._paused:
            self._paused = True
            self._stream.pause_request()

    def decode_headers(self, head: ResponseHead, end_stream: bool) -> None:
        encoder = self._encoder
        assert encoder is not None
        outlier = self._pool.host.outlier
        if outlier is not None:
            outlier.answered(self._head, head)
        if encoder.switched:
            super()._respond(head, False)
            self._open(encoder, head.status == 101 or not self._head.path)
        elif head.status < 400 and self._head.index.get(b"upgrade", b"").lower() == b"websocket":
            self._not_a_web_socket(head, end_stream)
        else:
            super()._respond(head, end_stream)

    def _open(self, encoder: RequestEncoder, switched: bool) -> None:
        """`switched`: the downstream is no longer HTTP either, as it still is after a POST."""
        stream = self._stream
        stream.flush_response()
        held, self._held = self._held, None
        ended = self._end_stream or self._trailers is not None
        if held or ended:
            encoder.encode_data(b"".join(held or ()), ended)
        if switched and not stream.end:
            open_tunnel(stream, stream.upstream_connection)
        if self._paused and not self._done:
            self._paused = False
            stream.resume_request()

    def _not_a_web_socket(self, head: ResponseHead, end_stream: bool) -> None:
        """Envoy passes on the head of such an answer, and not its content."""
        stream = self._stream
        self._started = True
        self._charge(head.status, self._pool.host)
        stream.response_at = stream.context.monotonic()
        stream.details = "websocket_handshake_unsuccessful"
        head.remove(b"content-length")
        head.remove(b"content-type")
        if end_stream:
            self._finish()
        stream.encode_headers(head, True)
