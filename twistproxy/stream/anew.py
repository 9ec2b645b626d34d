"""A stream that begins anew: a redirect is followed in place of the client (Envoy: recreateStream)."""

from __future__ import annotations

from twistproxy.http.message import ResponseHead
from twistproxy.stream.extras import Follower
from twistproxy.stream.stream import Stream

_FOREVER = float("inf")


def begin_anew(stream: Stream, response: ResponseHead, follower: Follower, headers_only: bool) -> None:
    """End what there was with a line of its own in the logs, and let the request, whose head has been changed and
    whose route picked, run through all filters again.

    response      the redirect
    headers_only  the request has no content; else `follower` gives it
    """
    context = stream.context
    stream.response = response
    stream.details = "internal_redirect"
    route = stream.route
    stream.cluster = "" if route is None else route.cluster or ""
    stream.end = now = context.monotonic()
    context.deadlines.discard(stream)
    stream.upstream = None
    stream.leave_filters()
    extras = stream.extra()
    extras.ended()
    context.log_redirected(stream)
    # What was picked by the redirect is the new beginning's.
    extras.route_lookups = min(extras.route_lookups, 1)
    extras.route_seconds = 0.0
    stream.response = None
    stream.response_at = stream.end = 0.0
    stream.details = stream.failure = stream.cluster = ""
    stream.flags = stream.attempts = 0
    stream.host = stream.upstream_connection = stream.upstream_meter = stream.counts = None
    stream.timeout_at = _FOREVER
    stream.start = stream.last_activity = stream.request_ended_at = now
    stream.idle_timeout = context.stream_idle_timeout
    stream.duration_at = now + context.max_stream_duration
    stream.deadline = now + context.first_timeout
    state = stream.connection.filter_state
    if stream.filter_state is not state:
        # The redirect's route was picked with what is forgotten now.
        stream.filter_state = state
        stream.route = context.pick_route(stream.head, stream)
    if not context.check(stream, stream.head):
        return
    stream.forward(headers_only)
    if not headers_only:
        follower.replay()
