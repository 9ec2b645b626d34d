"""One request with its response.

A `Stream` receives the request from the codec of the downstream (`api.codec.RequestDecoder`), lets the connection
manager's rules and the HTTP filters at it, and carries the response back.  It ends exactly once, in `_end`: complete,
reset by either side, or timed out.  It is also the record of itself that statistics and access logs read.
"""

from __future__ import annotations

from typing import cast

from twistproxy.api.codec import ResetReason, TunnelEnd
from twistproxy.http.grpc import is_grpc
from twistproxy.http.headers import Header, HeaderMap
from twistproxy.http.message import RequestHead, ResponseHead, ResponseWithTrailers
from twistproxy.observe import flags
from twistproxy.stream.chain import FilterWalk
from twistproxy.stream.context import Connection as Connection
from twistproxy.stream.context import Context as Context
from twistproxy.stream.limits import LimitedStream
from twistproxy.stream.local_replies import to_grpc
from twistproxy.stream.remote import Client


class Stream(LimitedStream):
    """See `record.StreamRecord` for its attributes."""

    __slots__ = ()

    # ---- the request, from the codec

    def decode_headers(self, head: RequestHead, end_stream: bool) -> None:
        context = self.context
        self.head = head
        if end_stream:
            self.request_ended_at = self.start
        timeout = context.first_timeout
        if context.request_timeout and not end_stream:
            timeout = min(timeout, context.request_timeout)
        self.deadline = self.start + timeout
        if not context.check(self, head):
            return
        client = context.request_headers.apply(head, self.connection)
        if client is None:
            self.route = context.pick_route(head, self)
        elif not self._know(client, head):
            return
        self.forward(end_stream)

    def forward(self, end_stream: bool) -> None:
        """The route is known: to the filters and the router."""
        context = self.context
        head = self.head
        if context.early_logs is not None:
            context.early_logs.started(self)
        chain = context.chain
        if b"upgrade" in head.index or not head.path:
            admitted = context.admit_upgrade(self, head)
            if admitted is None:
                return
            chain = admitted
        if chain.plain:
            chain.router.decode_headers(self, head, end_stream)
        else:
            self._walk = FilterWalk(self, chain.for_route(self.route), context.buffer_limit)
            self._walk.decode_headers(head, end_stream)
        if not self.end:
            context.deadlines.add(self)

    def _know(self, client: Client, head: RequestHead) -> bool:
        """Pick the route of a request that tells something of its sender.  False: it is refused for it."""
        context = self.context
        self.client = client
        if client.reject:
            context.stats.downstream_rq_rejected_via_ip_detection += 1
            self.local_reply(client.reject, b"", 0, "rejecting_because_detection_failed")
            return False
        if client.trace:
            context.stats.tracing[client.trace] += 1
        if not client.no_route:
            self.route = context.pick_route(head, self)
        return True

    def decode_data(self, data: bytes, end_stream: bool) -> None:
        if self.end:
            return
        self.bytes_received += len(data)
        self.last_activity = now = self.context.monotonic()
        if end_stream:
            self.request_ended_at = now
        if self._walk is not None:
            self._walk.decode_data(data, end_stream)
        elif self.upstream is not None:
            self.upstream.send_data(data, end_stream)

    def flush(self) -> None:
        if self.upstream is not None:
            self.upstream.flush_request()

    def decode_trailers(self, trailers: HeaderMap) -> None:
        if self.end:
            return
        self.last_activity = self.request_ended_at = self.context.monotonic()
        if self._walk is not None:
            self._walk.decode_trailers(trailers)
        elif self.upstream is not None:
            self.upstream.send_trailers(trailers)

    def on_reset(self, reason: ResetReason, detail: str) -> None:
        """The downstream is gone, what it sends makes no sense, or we end its connection (LOCAL_RESET)."""
        if self.end:
            return
        if reason == ResetReason.PROTOCOL_ERROR:
            self.flags |= flags.DPE
            self.details = "http1.codec_error"
        else:
            self.flags |= flags.DC
            stats = self.context.stats
            stats.downstream_cx_destroy_active_rq += 1
            if reason == ResetReason.LOCAL_RESET:
                self.details = "downstream_local_disconnect"
                stats.downstream_cx_destroy_local_active_rq += 1
            else:
                self.details = "downstream_remote_disconnect"
                stats.downstream_cx_destroy_remote_active_rq += 1
        if self.request_ended_at:
            self.context.stats.downstream_rq_rx_reset += 1
        self._cancel_upstream()
        self._end(False)

    def above_write_buffer_high_watermark(self) -> None:
        if self.upstream is not None:
            self.upstream.pause_reading()

    def below_write_buffer_low_watermark(self) -> None:
        if self.upstream is not None:
            self.upstream.resume_reading()

    # ---- for filters and the router

    def leave_filters(self) -> None:
        """The filters have seen the last of the request as it was."""
        if self._walk is not None:
            self._walk.ended()  # filters look at their notes once more
            self._walk = None

    def pause_request(self) -> None:
        """Read no more of the request's content for now.  Counted."""
        self.context.stats.downstream_flow_control_paused_reading_total += 1
        self._encoder.pause_reading()

    def resume_request(self) -> None:
        if not self.end:
            self.context.stats.downstream_flow_control_resumed_reading_total += 1
            self._encoder.resume_reading()

    def tunnel_end(self) -> TunnelEnd | None:
        """The codec of the downstream, to be given a passage; None if filters must see what passes."""
        return cast("TunnelEnd", self._encoder) if self._walk is None else None

    def clear_route_cache(self) -> None:
        """Pick the route anew: what it depends on has changed."""
        self.route = route = self.context.pick_route(self.head, self)
        if self._walk is not None:
            self._walk.use(self._walk.chain.for_route(route))

    def local_reply(
        self,
        status: int,
        body: bytes,
        flag: int,
        details: str,
        headers: tuple[Header, ...] = (),
        content_type: bytes = b"",
        grpc: int = -1,
    ) -> None:
        """Answer by ourselves.  After the response has begun, all that is left is to reset.

        headers       what it has before the route's header rules act
        content_type  of the body; b"": text/plain, or what the rules say
        grpc          the status that a gRPC client gets; -1: the one that stands for `status`
        """
        if self.end:
            return
        self.flags |= flag
        self.details = details
        self._cancel_upstream()
        if self.response is not None:
            self._reset()
            return
        if self._walk is not None:
            self._walk.replied()
        elif not self.context.chain.plain:
            # Refused before the filters saw it; they see the answer.
            chain = self.context.chain.for_route(self.route)
            self._walk = FilterWalk(self, chain, self.context.buffer_limit)
        head = ResponseHead(0, list(headers))  # header rules do not know the status yet
        if self.route is not None and self.route.response_rules is not None:
            self.route.response_rules.apply_to_response(head, self)
        head.status = status
        if content_type:
            head.set(b"content-type", content_type)
        else:
            content_type = b"text/plain"
        replies = self.context.local_replies
        if replies is not None:
            body, content_type = replies.rewrite(self, head, body)
        request = self.head
        to_head = request.method == b"HEAD"
        if is_grpc(request):
            to_grpc(head, b"" if to_head else body, grpc)
            body = b""
        elif body:
            head.set(b"content-length", b"%d" % len(body))
            if b"content-type" not in head.index:
                head.add(b"content-type", content_type)
        else:
            head.remove(b"content-type")
        only_head = to_head or not body
        self.encode_headers(head, only_head)
        if not only_head:
            self.encode_data(body, True)

    def reset(self, flag: int, details: str) -> None:
        """Give the response up in the middle."""
        self.flags |= flag
        self.details = details
        self._cancel_upstream()
        self._reset()

    def _reset(self) -> None:
        stats = self.context.stats
        stats.downstream_rq_tx_reset += 1
        if self.request_ended_at:
            stats.downstream_rq_rx_reset += 1  # Envoy counts each reset here, whosever it is
        self._encoder.reset()
        self._end(False)

    # ---- the response, from the router or a local reply

    def encode_1xx(self, head: ResponseHead) -> None:
        self._encoder.encode_1xx(head)

    def encode_headers(self, head: ResponseHead, end_stream: bool) -> None:
        if self._walk is not None:
            self._walk.encode_headers(head, end_stream)
        else:
            self.send_headers(head, end_stream)

    def encode_data(self, data: bytes, end_stream: bool) -> None:
        if self._walk is not None:
            self._walk.encode_data(data, end_stream)
        else:
            self.send_data(data, end_stream)

    def encode_trailers(self, trailers: HeaderMap) -> None:
        if self._walk is not None:
            self._walk.encode_trailers(trailers)
        else:
            self.send_trailers(trailers)

    def send_headers(self, head: ResponseHead, end_stream: bool) -> None:
        """Past all filters: to the downstream."""
        self.response = head
        self.context.response_headers.apply(head, self)
        if not self.request_ended_at:
            self.context.stats.downstream_rq_response_before_rq_complete += 1
            self.connection.answered_early()
        # The stream is over before its last piece is encoded: with that the codec may begin the next one.
        if end_stream:
            self._end()
        self._encoder.encode_headers(head, end_stream)

    def send_data(self, data: bytes, end_stream: bool) -> None:
        self.bytes_sent += len(data)
        if end_stream:
            self._end()
        else:
            self.last_activity = self.context.monotonic()
        self._encoder.encode_data(data, end_stream)

    def flush_response(self) -> None:
        """No content of the response follows in this turn."""
        if not self.end:
            self._encoder.flush()

    def send_trailers(self, trailers: HeaderMap) -> None:
        if self.response is not None:
            self.response = ResponseWithTrailers(self.response, trailers)
        self._end()
        self._encoder.encode_trailers(trailers)

    # ---- the end

    def _cancel_upstream(self) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.cancel()

    def _end(self, complete: bool = True) -> None:
        context = self.context
        self.end = now = context.monotonic()
        context.deadlines.discard(self)
        upstream, self.upstream = self.upstream, None
        if not self.request_ended_at:
            # The request will never be complete.
            context.stats.downstream_rq_rx_reset += 1
            if upstream is not None:
                upstream.cancel()
        if self._walk is not None:
            self._walk.ended()
        if self.extras is not None:
            self.extras.ended()
        context.log(self, complete)
        self.connection.stream_ended(self, now)
