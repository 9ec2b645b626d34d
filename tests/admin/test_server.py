"""The site: dispatch, methods, headers, versions, and answers that come later."""

import re

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.admin.commands import COMMANDS
from twistproxy.admin.merge import Statistics
from twistproxy.admin.view import DrainRequest

from .fakes import Client, FakeView

TEXT = "text/plain; charset=UTF-8"


def ask(path: str, method: str = "GET", view: FakeView | None = None) -> tuple[int, str, str]:
    client = Client(view or FakeView())
    client.send(method, path)
    reply = client.take()
    return reply.status, reply.headers["content-type"], reply.body


def test_headers_as_envoys_admin_sends_them() -> None:
    reply = Client(FakeView()).get("/ready")
    assert (reply.status, reply.body) == (200, "LIVE\n")
    assert reply.headers["content-type"] == TEXT
    assert reply.headers["cache-control"] == "no-cache, max-age=0"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["server"] == "twistproxy"
    assert reply.headers["transfer-encoding"] == "chunked"
    assert "date" in reply.headers


def test_one_connection_serves_many_requests() -> None:
    client = Client(FakeView())
    assert client.get("/ready").body == "LIVE\n"
    assert client.get("/certs").headers["content-type"] == "application/json"
    assert not client.transport.disconnecting


@pytest.mark.parametrize("path", ["/ready?x=1", "//ready", "/ready?%zz", "http://admin/ready?x"])
def test_paths_that_are_ready(path: str) -> None:
    assert ask(path) == (200, TEXT, "LIVE\n")


@pytest.mark.parametrize("path", ["/nope", "/ready/", "/readyx", "/stats/", "/healthcheck"])
def test_unknown_paths_get_the_list(path: str) -> None:
    status, content_type, body = ask(path)
    assert (status, content_type) == (404, TEXT)
    assert body.startswith(
        "invalid path. admin commands are:\n  /: Admin home page\n  /certs: print certs on machine\n"
    )


def test_help_names_every_page() -> None:
    _, _, body = ask("/help")
    assert body.startswith("admin commands are:\n  /: Admin home page\n")
    for command in COMMANDS:
        post = " (POST)" if command.mutating else ""
        assert f"  /{command.path}{post}: {command.help}\n" in body
    assert "      format: File format to use; One of (text, json)\n" in body


def test_home_page_links_and_posts() -> None:
    status, content_type, body = ask("/")
    assert (status, content_type) == (200, "text/html; charset=UTF-8")
    assert "<a href='certs'>certs</a>" in body
    for command in COMMANDS:
        if command.mutating:
            assert f"<form action='{command.path}' method='post'" in body
    assert re.search(r"<form action='stats' method='get'", body)
    assert "<option value='Gauges'>Gauges</option>" in body
    assert ask("/", "POST")[0] == 200


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.mutating], ids=lambda c: c.path)
@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_pages_that_change_something_want_post(command: object, method: str) -> None:
    view = FakeView()
    path = getattr(command, "path", "")
    assert ask(f"/{path}", method, view) == (405, TEXT, f"Method {method} not allowed, POST required.")
    assert (view.healthy, view.drains, view.quits) == (True, [], 0)


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS"])
def test_other_pages_take_any_method(method: str) -> None:
    assert ask("/ready", method) == (200, TEXT, "LIVE\n")


def test_head_has_no_body() -> None:
    status, _, body = ask("/ready", "HEAD")
    assert (status, body) == (200, "")


def test_http_1_0_is_refused() -> None:
    client = Client(FakeView())
    client.send("GET", "/ready", "1.0")
    reply = client.take()
    assert (reply.status, reply.body) == (426, "Upgrade Required")
    assert reply.headers["content-length"] == "16"
    assert reply.headers["content-type"] == "text/plain"
    assert reply.headers["connection"] == "close"
    assert client.transport.disconnecting


def test_health_check_pages() -> None:
    view = FakeView()
    assert ask("/healthcheck/fail", "POST", view) == (200, TEXT, "OK\n")
    assert ask("/ready", view=view) == (503, TEXT, "DRAINING\n")
    assert ask("/healthcheck/ok", "POST", view) == (200, TEXT, "OK\n")
    assert ask("/ready", view=view) == (200, TEXT, "LIVE\n")


def test_drain_listeners() -> None:
    view = FakeView()
    for query in ("", "?graceful", "?graceful&skip_exit", "?inboundonly"):
        assert ask(f"/drain_listeners{query}", "POST", view) == (200, TEXT, "OK\n")
    assert view.drains == [
        DrainRequest(),
        DrainRequest(graceful=True),
        DrainRequest(graceful=True, skip_exit=True),
        DrainRequest(inbound_only=True),
    ]


def test_reset_counters() -> None:
    view = FakeView()
    assert ask("/reset_counters", "POST", view) == (200, TEXT, "OK\n")
    assert ask("/stats?filter=upstream_rq_total", view=view)[2] == "cluster.app.upstream_rq_total: 0\n"


def test_quit_is_called_after_the_answer() -> None:
    view = FakeView()
    assert ask("/quitquitquit", "POST", view) == (200, TEXT, "OK\n")
    assert view.quits == 1


def test_logging() -> None:
    view = FakeView()
    assert ask("/logging?level=debug", "POST", view) == (
        200,
        TEXT,
        "active loggers:\n  admin: debug\n  http: debug\n\n",
    )


def test_stats_in_all_formats() -> None:
    query = "filter=^(server.live|cluster.app.upstream_rq_total)$"
    numbers = "cluster.app.upstream_rq_total: 6\nserver.live: 1\n"
    assert ask(f"/stats?{query}") == (200, TEXT, numbers)
    assert ask(f"/stats?format=text&{query}") == (200, TEXT, numbers)
    assert ask(f"/stats?format=json&{query}") == (
        200,
        "application/json",
        '{"stats":[{"name":"cluster.app.upstream_rq_total","value":6},{"name":"server.live","value":1}]}',
    )
    exposition = (
        "# TYPE envoy_cluster_upstream_rq_total counter\n"
        'envoy_cluster_upstream_rq_total{envoy_cluster_name="app"} 6\n'
        "# TYPE envoy_server_live gauge\nenvoy_server_live 1\n"
    )
    assert ask(f"/stats?format=prometheus&{query}") == (200, TEXT, exposition)
    assert ask(f"/stats/prometheus?{query}") == (200, TEXT, exposition)
    status, content_type, body = ask(f"/stats?format=html&{query}")
    assert (status, content_type) == (200, "text/html; charset=UTF-8")
    assert numbers in body


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/stats?format=foo", "usage: /stats?format=(html|active-html|json|prometheus|text)\n\n"),
        ("/stats?filter=(", "Invalid re2 regex: missing ): ("),
        ("/stats/prometheus?filter=%28", "Invalid re2 regex: missing ): ("),
        ("/stats/prometheus?histogram_buckets=detailed", "unsupported prometheus histogram bucket mode"),
        ("/clusters?filter=(", "Invalid re2 regex"),
    ],
)
def test_bad_queries(path: str, text: str) -> None:
    assert ask(path) == (400, TEXT, text)


def test_clusters_and_config_dump() -> None:
    assert ask("/clusters?filter=pp")[2].startswith("app::observability_name::app\n")
    assert ask("/clusters?filter=none") == (200, TEXT, "")
    assert ask("/clusters?format=json")[2].startswith('{\n "cluster_statuses": [\n  {\n   "name": "app",\n')
    assert ask("/config_dump?mask=bootstrap")[2].count('"@type"') == 2
    assert ask("/config_dump")[2].count('ConfigDump"') == 6
    assert "StaticEndpointConfig" in ask("/config_dump?include_eds&resource=static_endpoint_configs")[2]


def test_access_log() -> None:
    client = Client(FakeView())
    client.get("/ready?x")
    assert client.log == [
        '[2026-11-23T01:26:27.447Z] "GET /ready?x HTTP/1.1" 200 - 0 5 0 - "192.168.1.1" "test" "-" "admin" "-"\n'
    ]


class SlowWorkersTests(SynchronousTestCase):
    """Pages that wait for the workers."""

    def setUp(self) -> None:
        self.view = FakeView()
        self.view.pending = Deferred()
        self.client = Client(self.view)
        self.client.send("GET", "/stats?filter=server.live")

    def test_the_answer_comes_when_the_workers_have_answered(self) -> None:
        self.assertEqual(self.client.transport.value(), b"")
        assert self.view.pending is not None
        self.view.pending.callback(self.view.statistics)
        self.assertEqual(self.client.take().body, "server.live: 1\n")

    def test_a_client_that_does_not_wait(self) -> None:
        self.client.protocol.connectionLost(Failure(ConnectionError("gone")))
        assert self.view.pending is not None
        self.view.pending.callback(Statistics())
        self.assertEqual(self.client.transport.value(), b"")

    def test_a_failure_is_logged_and_answered(self) -> None:
        assert self.view.pending is not None
        self.view.pending.errback(ValueError("broken"))
        reply = self.client.take()
        self.assertEqual((reply.status, reply.body), (500, "internal error\n"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
