"""`%REASON%`: why the proxy answered by itself, or gave a response up, in a plain sentence.  Envoy has no such operator.

The sentence is made of what the stream says, when a log asks for it and only then; `ReasonSource` knows the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from twistproxy.observe.log_syntax import text_of


class ReasonSource(Protocol):
    """What a stream does not know itself: `Context.reasons`."""

    def no_route(self, stream: Any) -> str:
        """Why no route was found: what comes behind "no route matches …: "."""

    def no_host(self, cluster: str) -> str:
        """Why a cluster offers no host."""

    def overflow(self, stream: Any) -> str:
        """Which circuit breaker is open."""

    def connect_timeout(self, cluster: str) -> float:
        """Seconds."""

    def cluster_metadata(self, cluster: str) -> Mapping[str, Any] | None:
        """namespace → structure."""


def reason(stream: Any) -> str | None:
    """The sentence for a stream; None where an upstream has answered, and nothing went wrong."""
    details: str = stream.details
    kind, _, inner = details.partition("{")
    sentence = _SENTENCES.get(kind)
    if sentence is None:
        return None if kind in ("", "via_upstream") else f"the proxy answered by itself: {details}"
    text = sentence if isinstance(sentence, str) else sentence(stream, inner.rstrip("}"))
    return f"{text} (after {stream.attempts} attempts)" if stream.attempts > 1 else text


# ---- routing


def _request(stream: Any) -> str:
    head = stream.head
    return f"{text_of(head.method)} {text_of(head.path)} on host {text_of(head.authority)}"


def _no_route(stream: Any, inner: str) -> str:
    reasons = stream.context.reasons
    why = "" if reasons is None else ": " + reasons.no_route(stream)
    return f"no route matches {_request(stream)}{why}"


def _route(stream: Any) -> str:
    route = stream.route
    name = f"route '{route.name}'" if route.name else "the route"
    return f"{name} in virtual host '{route.virtual_host}'"


def _no_cluster(stream: Any, inner: str) -> str:
    cluster = stream.route.cluster
    named = f"cluster '{cluster}'" if cluster else "a cluster"
    return f"{_route(stream)} leads to {named}, which does not exist"


def _direct(stream: Any, inner: str) -> str:
    route = stream.route
    if route is None:
        return "the proxy answers this by itself"
    if route.redirect is not None:
        location = stream.response.get(b"location") if stream.response is not None else None
        return f"{_route(stream)} redirects" + (f" to {text_of(location)}" if location else "")
    return f"{_route(stream)} answers by itself"


def _upgrade(stream: Any, inner: str) -> str:
    kind = stream.head.get(b"upgrade")
    what = "CONNECT" if kind is None else f"an upgrade to '{text_of(kind)}'"
    return f"{what} is not allowed here (upgrade_configs)"


# ---- upstreams


def _cluster(stream: Any) -> str:
    return f"cluster '{stream.cluster}'"


def _upstream(stream: Any) -> str:
    host = stream.host
    return _cluster(stream) if host is None else f"the upstream {host.address_text} of {_cluster(stream)}"


def _no_host(stream: Any, inner: str) -> str:
    reasons = stream.context.reasons
    return f"{_cluster(stream)} has no healthy host" if reasons is None else reasons.no_host(stream.cluster)


def _reset(stream: Any, inner: str) -> str:
    """Before the response began."""
    kind, _, _ = inner.partition("|")
    words: str = stream.failure
    upstream = _upstream(stream)
    if kind == "overflow":
        reasons = stream.context.reasons
        return f"circuit breaker of {_cluster(stream)}" if reasons is None else reasons.overflow(stream)
    if kind == "remote_connection_failure":
        what = words.partition("connect error: ")[2] or words or "connection failure"
        return f"no connection to {upstream}: {what}"
    if kind == "connection_timeout":
        reasons = stream.context.reasons
        limit = "" if reasons is None else f" within {reasons.connect_timeout(stream.cluster):g} s"
        return f"no connection to {upstream}{limit} (connect_timeout)"
    if kind == "protocol_error":
        return f"{upstream} sent what is no HTTP/1.1 response" + (f": {words}" if words else "")
    if kind == "connection_termination":
        return f"{upstream} closed the connection before it answered" + (f": {words}" if words else "")
    return f"{upstream} did not answer: {kind.replace('_', ' ')}"


def _cut(stream: Any, inner: str) -> str:
    """After the response began."""
    kind, _, _ = inner.partition("|")
    words = f": {stream.failure}" if stream.failure else ""
    what = "broke the protocol" if kind == "protocol_error" else "closed the connection"
    return f"{_upstream(stream)} {what} in the middle of its response{words}"


def _seconds(value: float) -> str:
    return f"{value:g} s"


def _timed_out(limit_of: Callable[[Any], str]) -> Callable[[Any, str], str]:
    def sentence(stream: Any, inner: str) -> str:
        if stream.upstream_connection is None:
            return f"no connection to {_cluster(stream)} and so no answer within {limit_of(stream)}"
        did = "answer" if stream.response_at == 0 else "complete its response"
        return f"{_upstream(stream)} did not {did} within {limit_of(stream)}"

    return sentence


def _route_timeout(stream: Any) -> str:
    told = stream.head.get(b"x-envoy-expected-rq-timeout-ms") or b""
    route = stream.route
    if told.isdigit() and (route is None or route.one_attempt):
        return f"{_seconds(int(told) / 1000)} (route timeout)"
    return "the route timeout" if route is None else f"{_seconds(route.timeout)} (route timeout)"


def _setting(name: str) -> Callable[[Any], str]:
    """A limit of the connection manager."""
    return lambda stream: f"{_seconds(getattr(stream.context.settings, name))} ({name})"


def _late_request(stream: Any, inner: str) -> str:
    return f"the request was not complete within {_setting('request_timeout')(stream)}"


def _late_head(stream: Any, inner: str) -> str:
    return f"the head of the request was not complete within {_setting('request_headers_timeout')(stream)}"


def _silence(stream: Any, inner: str) -> str:
    who = "the client" if not stream.request_ended_at else _upstream(stream) if stream.cluster else "nobody"
    return f"{who} sent nothing for {_seconds(stream.idle_timeout)} (idle timeout of the stream)"


def _too_long(stream: Any, inner: str) -> str:
    took = stream.duration_at - stream.start
    return f"the stream took longer than {_seconds(round(took, 3))} (max_stream_duration)"


# ---- requests that are none, and clients that go


def _bad_host(stream: Any, inner: str) -> str:
    return "what the Host header says is no host"


def _bad_path(stream: Any, inner: str) -> str:
    return f"the path {text_of(stream.head.path)} is not allowed (path normalization)"


def _left(stream: Any, inner: str) -> str:
    if stream.response is not None:
        return "the client closed the connection before it had the whole response"
    if stream.upstream_connection is not None:
        return f"the client closed the connection before {_upstream(stream)} answered"
    return "the client closed the connection before it was answered"


def _strict(stream: Any, inner: str) -> str:
    return f"the header '{inner}' has a value that cannot be (strict_check_headers)"


def _not_switched(stream: Any, inner: str) -> str:
    return f"{_upstream(stream)} did not switch to WebSocket"


_SENTENCES: dict[str, str | Callable[[Any, str], str]] = {
    "route_not_found": _no_route,
    "cluster_not_found": _no_cluster,
    "direct_response": _direct,
    "upgrade_failed": _upgrade,
    "no_healthy_upstream": _no_host,
    "upstream_reset_before_response_started": _reset,
    "upstream_reset_after_response_started": _cut,
    "response_timeout": _timed_out(_route_timeout),
    "upstream_per_try_timeout": _timed_out(lambda s: "the time of one attempt (per_try_timeout)"),
    "upstream_per_try_idle_timeout": _timed_out(lambda s: "the time of silence (per_try_idle_timeout)"),
    "upstream_max_stream_duration_reached": _timed_out(lambda s: "the cluster's max_stream_duration"),
    "websocket_handshake_unsuccessful": _not_switched,
    "request_overall_timeout": _late_request,
    "request_header_timeout": _late_head,
    "stream_idle_timeout": _silence,
    "max_duration_timeout": _too_long,
    "request_payload_too_large": "the content of the request is more than the filters may hold",
    "response_payload_too_large": "the content of the response is more than the filters may hold",
    "request_headers_failed_strict_check": _strict,
    "missing_host_header": "the request has no Host header",
    "absolute_path_rejected": "the target of the request is neither a path nor a URL",
    "path_normalization_failed": _bad_path,
    "low_version": "the request is neither HTTP/1.1 nor HTTP/1.0",
    "downstream_local_disconnect": "the proxy ended the connection: the time to drain it was over",
    "downstream_remote_disconnect": _left,
    "http.invalid_authority": _bad_host,
    "http1.codec_error": "what the client sent is no HTTP/1.1",
    "http1.invalid_characters": "the head of the request has characters in it that no head may have",
    "http1.invalid_scheme": "the target of the request is a URL of another scheme than http and https",
    "http1.invalid_url": "the target of the request is no URL that can be answered here",
    "http1.too_many_headers": "the request has too many headers (max_headers_count)",
    "http1.headers_too_large": "the head of the request is too large (max_request_headers_kb)",
    "http1.duplicate_host": "the request has two Host headers",
    "http1.unexpected_underscore": "the name of a header has an underscore (headers_with_underscores_action)",
    "http1.content_length_and_chunked_not_allowed": "the request has both Content-Length and Transfer-Encoding",
    "http1.invalid_transfer_encoding": "the Transfer-Encoding of the request is none that is understood",
    "http1.connection_header_rejected": "the Connection header names a header that must not be dropped",
    "http1.body_disallowed": "a CONNECT must not have content",
}
