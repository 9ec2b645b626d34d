"""Headers that have a meaning of their own to Envoy, by what that does to them."""

from __future__ import annotations

#: What only a client inside may say; taken from everybody else.
EXTERNAL_STRIP = frozenset(
    (
        b"x-envoy-retriable-status-codes",
        b"x-envoy-retriable-header-names",
        b"x-envoy-retry-on",
        b"x-envoy-retry-grpc-on",
        b"x-envoy-max-retries",
        b"x-envoy-upstream-alt-stat-name",
        b"x-envoy-upstream-rq-timeout-ms",
        b"x-envoy-upstream-rq-per-try-timeout-ms",
        b"x-envoy-upstream-rq-timeout-alt-response",
        b"x-envoy-upstream-stream-duration-ms",
        b"x-envoy-expected-rq-timeout-ms",
        b"x-envoy-force-trace",
        b"x-envoy-ip-tags",
        b"x-envoy-original-url",
        b"x-envoy-hedge-on-per-try-timeout",
    )
)
EDGE_STRIP = frozenset(
    (
        b"x-envoy-decorator-operation",
        b"x-envoy-downstream-service-cluster",
        b"x-envoy-downstream-service-node",
        b"x-envoy-original-path",
    )
)

#: Of these Envoy knows only one (INLINE_REQ_HEADERS): further ones are joined to the first with a comma.
SINGLE_REQUEST = (
    EXTERNAL_STRIP
    | EDGE_STRIP
    | frozenset(
        (
            b"x-forwarded-for",
            b"x-forwarded-proto",
            b"x-request-id",
            b"accept",
            b"accept-encoding",
            b"access-control-request-headers",
            b"access-control-request-method",
            b"authorization",
            b"cache-control",
            b"content-encoding",
            b"content-type",
            b"expect",
            b"grpc-accept-encoding",
            b"grpc-timeout",
            b"if-match",
            b"if-modified-since",
            b"if-none-match",
            b"origin",
            b"pragma",
            b"referer",
            b"te",
            b"user-agent",
            b"via",
            b"x-client-trace-id",
            b"x-envoy-attempt-count",
            b"x-envoy-external-address",
            b"x-envoy-original-host",
            b"x-forwarded-host",
            b"x-forwarded-port",
        )
    )
)

#: The same for responses (INLINE_RESP_HEADERS).
SINGLE_RESPONSE = frozenset(
    (
        b"date",
        b"server",
        b"access-control-allow-headers",
        b"access-control-allow-origin",
        b"access-control-expose-headers",
        b"age",
        b"cache-control",
        b"content-encoding",
        b"content-type",
        b"etag",
        b"expires",
        b"grpc-message",
        b"grpc-status",
        b"last-modified",
        b"location",
        b"proxy-status",
        b"vary",
        b"via",
        b"x-envoy-attempt-count",
        b"x-envoy-decorator-operation",
        b"x-envoy-degraded",
        b"x-envoy-immediate-health-check-fail",
        b"x-envoy-ratelimited",
        b"x-envoy-upstream-canary",
        b"x-request-id",
    )
)
