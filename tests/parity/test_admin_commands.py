"""Admin commands: what they answer and what they change. The order matters: the last tests stop things."""

from __future__ import annotations

import pytest

from .harness import Proxy, wait_for
from .origin import raw
from .settings import Config, bootstrap, cluster, listener, routes_to

pytestmark = pytest.mark.parity


def configure(proxy: Proxy) -> Config:
    main = listener("main", proxy.port(), routes_to("app"))
    return bootstrap(proxy.port("admin"), [main], [cluster("app", proxy.origin().port)])


def post(proxy: Proxy, path: str) -> str:
    response = proxy.admin(path, "POST")
    assert response.status == 200
    return response.text


def test_reset_counters(proxy: Proxy) -> None:
    proxy.ask("/x")
    assert proxy.stat("http.main.downstream_rq_total") == 1
    assert post(proxy, "/reset_counters") == "OK\n"
    assert proxy.stat("http.main.downstream_rq_total") == 0
    assert proxy.stat("cluster.app.upstream_rq_200") == 0
    assert proxy.stat("cluster.app.membership_total") == 1
    proxy.ask("/x")
    assert proxy.stat("http.main.downstream_rq_total") == 1


def test_logging(proxy: Proxy) -> None:
    lines = post(proxy, "/logging").splitlines()
    assert lines[0] == "active loggers:"
    levels = {line.split(": ")[1] for line in lines[1:] if line.startswith("  ")}
    assert levels == {"error"} or proxy.engine != "envoy"
    names = {line.strip().split(": ")[0] for line in lines[1:] if line.startswith("  ")}
    assert {"admin", "config", "upstream"} <= names


def test_logging_level(proxy: Proxy) -> None:
    lines = post(proxy, "/logging?level=warning").splitlines()
    assert {line.split(": ")[1] for line in lines if line.startswith("  ")} == {"warning"}
    lines = post(proxy, "/logging?admin=info").splitlines()
    assert "  admin: info" in lines
    assert "  config: warning" in lines
    post(proxy, "/logging?level=error")


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("level=nonsense", "unknown logger level"),
        ("nonsense=debug", "unknown logger name"),
        ("admin=x", "unknown logger level"),
    ],
)
def test_logging_refused(proxy: Proxy, query: str, text: str) -> None:
    response = proxy.admin(f"/logging?{query}", "POST")
    assert response.status == 400
    assert response.text.startswith(
        f"error: {text}\n\nusage: /logging?<name>=<level> (change single level)\n"
    )


def test_healthcheck_fail_and_ok(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").read()
        assert post(proxy, "/healthcheck/fail") == "OK\n"
        response = proxy.admin("/ready")
        assert (response.status, response.text) == (503, "DRAINING\n")
        assert proxy.admin_json("/server_info")["state"] == "DRAINING"
        answer = client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").read()
        assert (answer.status, answer["connection"]) == (200, "close")
    assert sum(proxy.stats("downstream_cx_drain_close").values()) == 1
    assert post(proxy, "/healthcheck/ok") == "OK\n"
    assert proxy.admin("/ready").text == "LIVE\n"
    with proxy.client() as client:
        assert client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").read()["connection"] is None


def test_draining_listeners(proxy: Proxy) -> None:
    """A request that is under way is finished; new connections are refused."""
    proxy.origin().on("/slow", raw(0.4, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"))
    with proxy.client() as client:
        client.send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
        proxy.origin().take()
        assert post(proxy, "/drain_listeners") == "OK\n"
        answer = client.read()
        assert answer.text == "ok"

    def refused() -> bool:
        try:
            proxy.client().close()
        except ConnectionRefusedError:
            return True
        return False

    assert wait_for(refused)
    assert proxy.admin("/ready").status in (200, 503)


def test_quitting(proxy: Proxy) -> None:
    assert post(proxy, "/quitquitquit") == "OK\n"
    process = proxy.process
    assert process is not None
    assert wait_for(lambda: process.poll() is not None, 8.0)
    assert process.returncode == 0
