"""envoy.config.core.v3.HealthCheck to `model.health_check`."""

from __future__ import annotations

from typing import Literal

from twistproxy.config.fields import Reader
from twistproxy.config.header_rules import build_headers_to_add, build_names_to_remove
from twistproxy.config.http1 import UpstreamHttp
from twistproxy.config.matchers import string_matcher
from twistproxy.config.provided import is_aggregate
from twistproxy.http.message import RequestHead
from twistproxy.model.discovery import DiscoverySource, DnsSource
from twistproxy.model.header_rules import HeaderRules, HeaderToAdd
from twistproxy.model.health_check import (
    Check,
    ClusterChecks,
    GrpcCheck,
    HealthCheckSettings,
    HttpCheck,
    Intervals,
    Ranges,
    TcpCheck,
)
from twistproxy.model.sockets import UpstreamSockets
from twistproxy.observe.access_log import Clocks, FormatError, compile_format
from twistproxy.observe.check_stream import CheckStream

_FILE_SINK = "envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink"
_NO_TRAFFIC = 60.0
_BUFFER_SIZE = 1024
#: Methods whose requests have no content (Envoy: HttpHealthCheckerImpl).
_NO_CONTENT = ("GET", "HEAD", "DELETE", "TRACE")


def build_cluster_checks(
    cluster: Reader,
    name: str,
    stat_name: str,
    http: UpstreamHttp,
    source: DiscoverySource | None,
    sockets: UpstreamSockets | None,
) -> ClusterChecks | None:
    """The health checks of a cluster, None if it has none.

    source   where its endpoints come from
    sockets  of its connections
    """
    common = cluster.message_or_empty("common_lb_config")
    # Both are about clusters with health checks; others have nothing that they would change.
    wait = common.boolean("ignore_new_hosts_until_first_hc")
    ignore_health = cluster.boolean("ignore_health_on_host_removal")
    settings = _settings(cluster, name, http.http2)
    if settings is None:
        return None
    kind = "" if cluster.oneof("cluster_discovery_type") == "cluster_type" else cluster.enum("type")
    if kind == "ORIGINAL_DST":
        cluster.problem("health checks of an ORIGINAL_DST cluster are not implemented", "health_checks")
    elif is_aggregate(cluster):
        cluster.problem("an aggregate cluster has no hosts of its own to check", "health_checks")
    return ClusterChecks(
        name,
        stat_name or name,
        settings,
        wait=wait,
        keep_passing=kind != "STATIC" and not ignore_health,
        one_host=isinstance(source, DnsSource) and source.logical,
        http1=http.http1,
        sockets=sockets,
    )


def _settings(cluster: Reader, name: str, http2: bool) -> HealthCheckSettings | None:
    checks = cluster.messages("health_checks")
    for more in checks[1:]:
        more.ignore_all()
        more.problem("more than one health check of a cluster is not implemented")
    if not checks:
        return None
    one = checks[0]
    check = _check(one)
    if isinstance(check, GrpcCheck) and not http2:
        one.problem(f"{name} cluster must support HTTP/2 for gRPC healthchecking", "grpc_health_check")
    interval = one.duration("interval", 0.0)
    unhealthy = one.duration("unhealthy_interval", interval)
    no_traffic = one.duration("no_traffic_interval", _NO_TRAFFIC)
    return HealthCheckSettings(
        check=check,
        timeout=one.duration("timeout", 0.0),
        intervals=Intervals(
            usual=interval,
            unhealthy=unhealthy,
            unhealthy_edge=one.duration("unhealthy_edge_interval", unhealthy),
            healthy_edge=one.duration("healthy_edge_interval", interval),
            no_traffic=no_traffic,
            no_traffic_healthy=one.duration("no_traffic_healthy_interval", no_traffic),
            initial_jitter=one.duration("initial_jitter", 0.0),
            jitter=one.duration("interval_jitter", 0.0),
            jitter_percent=one.integer("interval_jitter_percent", 0),
        ),
        unhealthy_threshold=one.integer("unhealthy_threshold", 0),
        healthy_threshold=one.integer("healthy_threshold", 0),
        reuse_connection=one.boolean("reuse_connection", True),
        event_logs=_event_logs(one),
        log_failures=one.boolean("always_log_health_check_failures"),
        log_successes=one.boolean("always_log_health_check_success"),
    )


def _check(reader: Reader) -> Check:
    kind = reader.oneof("health_checker")
    if kind == "http_health_check":
        return _http(reader.message_or_empty(kind))
    if kind == "tcp_health_check":
        return _tcp(reader.message_or_empty(kind))
    if kind == "grpc_health_check":
        grpc = reader.message_or_empty(kind)
        metadata = HeaderRules(_to_add(grpc, "initial_metadata"))
        return GrpcCheck(grpc.string("service_name"), grpc.string("authority"), metadata)
    if kind is not None:
        reader.refuse(kind, "health checkers other than HTTP, TCP and gRPC are not implemented")
    return TcpCheck()


def _http(reader: Reader) -> HttpCheck:
    method = reader.enum("method")
    method = "GET" if method == "METHOD_UNSPECIFIED" else method
    send = reader.message("send")
    if send is not None and method in _NO_CONTENT:
        reader.problem(
            f"HTTP health check cannot specify a request payload with method '{method}'. Only methods that support "
            "a request body (POST, PUT, PATCH, OPTIONS) can be used with payload.",
            "send",
        )
    receive = tuple(_payload(one) for one in reader.messages("receive"))
    size = reader.integer("response_buffer_size", _BUFFER_SIZE)
    total = sum(map(len, receive))
    if receive and size and total > size:
        reader.problem(
            f"The expected response length '{total}' is over than http health response buffer size '{size}'",
            "receive",
        )
    codec = reader.enum("codec_client_type")
    if codec == "HTTP3":
        reader.problem("HTTP/3 is not implemented", "codec_client_type")
    matcher = reader.message("service_name_matcher")
    return HttpCheck(
        path=reader.string("path"),
        host=reader.string("host"),
        method=method,
        send=b"" if send is None else _payload(send),
        receive=receive,
        buffer_size=size,
        headers=HeaderRules(
            _to_add(reader, "request_headers_to_add"),
            build_names_to_remove(reader, "request_headers_to_remove"),
        ),
        expected=_ranges(reader, "expected_statuses", "expected") or ((200, 201),),
        retriable=_ranges(reader, "retriable_statuses", "retriable"),
        service_name=None if matcher is None else string_matcher(matcher),
        http2=codec == "HTTP2",
    )


def _to_add(reader: Reader, field: str) -> tuple[HeaderToAdd, ...]:
    """Headers, whose operators have to do without a client and its request."""
    rules = build_headers_to_add(reader, field)
    for option, rule in zip(reader.messages(field), rules):
        try:
            render = compile_format(rule.value, Clocks(float, float), missing="")
        except FormatError:
            continue  # it is said already
        try:
            render(CheckStream(RequestHead(b"", b"", b"", [], {}), "", 0.0))
        except (AttributeError, TypeError):
            option.problem("uses an operator that is not implemented in health checks", "header.value")
    return rules


def _ranges(reader: Reader, field: str, word: str) -> Ranges:
    found = []
    for one in reader.messages(field):
        start, end = one.integer("start", 0), one.integer("end", 0)
        problem = ""
        if start >= end:
            problem = f"expecting start < end, but found start={start} and end={end}"
        elif start < 100:
            problem = f"expecting start >= 100, but found start={start}"
        elif end > 600:
            problem = f"expecting end <= 600, but found end={end}"
        if problem:
            one.problem(f"Invalid http {word} status range: {problem}")
        found.append((start, end))
    return tuple(found)


def _tcp(reader: Reader) -> TcpCheck:
    send = reader.message("send")
    if send is not None and send.oneof("payload") == "binary":
        # Envoy 1.40 looks at `text` only, and sends nothing.
        send.problem("is never sent by Envoy: it has to be written as text, in hexadecimal digits", "binary")
    proxy = reader.message("proxy_protocol_config")
    version: Literal["", "V1", "V2"] = ""
    if proxy is not None:
        version = "V2" if proxy.enum("version") == "V2" else "V1"
    return TcpCheck(
        b"" if send is None else _payload(send),
        tuple(_payload(one) for one in reader.messages("receive")),
        version,
    )


def _payload(reader: Reader) -> bytes:
    """envoy.config.core.v3.HealthCheck.Payload."""
    if reader.oneof("payload") == "binary":
        return reader.octets("binary")
    text = reader.string("text")
    try:
        if not text.isalnum():
            raise ValueError
        return bytes.fromhex(text)
    except ValueError:
        reader.problem(f"invalid hex string '{text}'", "text")
        return b""


def _event_logs(reader: Reader) -> tuple[str, ...]:
    """The files of `event_log_path` and of file sinks."""
    found = []
    path = reader.string("event_log_path")
    if path:
        found.append(path)
    for sink in reader.messages("event_logger"):
        sink.ignore("name")
        config = sink.unpack("typed_config")
        if config is None or config.type_name != _FILE_SINK:
            sink.problem("only the file sink is implemented", "typed_config")
            if config is not None:
                config.ignore_all()
            continue
        found.append(config.string("event_log_path"))
    return tuple(found)
