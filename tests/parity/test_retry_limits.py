"""What bounds retries: time limits, back-off, breakers and budgets, the content that is kept; and hedging."""

from __future__ import annotations

import time

import pytest

from .harness import Proxy
from .origin import Answer, Exchange, raw, silent
from .retry_policies import CLOSE, RESET, counted, failing, logged, run, status
from .retry_policies import configure as configure

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)


def test_per_try_timeout(proxy: Proxy) -> None:
    response, count = run(proxy, "per_try", silent(), "slow")
    assert (response.status, response.text, count) == (504, "upstream request timeout", 2)
    assert logged(proxy, "per_try", "slow") == ("504", "URX,UT", "upstream_per_try_timeout", "2")
    assert counted(proxy, "per_try") == {
        "per_try_timeout": 2,
        "retry": 1,
        "retry_backoff_exponential": 1,
        "retry_limit_exceeded": 1,
    }
    response, count = run(proxy, "per_try", failing(1, silent()), "once-slow")
    assert (response.status, count) == (200, 2)


def test_per_try_timeout_without_retries(proxy: Proxy) -> None:
    response, count = run(proxy, "per_try_no", silent(), "slow")
    assert (response.status, count) == (504, 1)
    assert logged(proxy, "per_try_no", "slow") == ("504", "UT", "upstream_per_try_timeout", "1")


def test_per_try_timeout_that_is_too_long(proxy: Proxy) -> None:
    response, count = run(proxy, "per_try_long", silent(), "slow")
    assert (response.status, count) == (504, 1)
    assert logged(proxy, "per_try_long", "slow") == ("504", "UT", "response_timeout", "1")


def test_per_try_timeout_after_the_head(proxy: Proxy) -> None:
    """It does not matter any more."""
    slow = raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", 0.12, "ok")
    response, count = run(proxy, "per_try", slow, "slow-body")
    assert (response.status, response.text, count) == (200, "ok", 1)


def test_per_try_idle_timeout(proxy: Proxy) -> None:
    response, count = run(proxy, "per_try_idle", silent(), "slow")
    assert (response.status, count) == (504, 2)
    assert logged(proxy, "per_try_idle", "slow") == ("504", "URX,UT", "upstream_per_try_idle_timeout", "2")
    assert counted(proxy, "per_try_idle")["per_try_idle_timeout"] == 2
    drops = raw("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", 0.06, "a", 0.06, "b", 0.06, "c")
    response, count = run(proxy, "per_try_idle", drops, "drops")
    assert (response.status, response.text, count) == (200, "abc", 1)


def test_total_timeout(proxy: Proxy) -> None:
    response, count = run(proxy, "total", silent(), "slow")
    assert (response.status, count) == (504, 2)
    assert logged(proxy, "total", "slow") == ("504", "UT", "response_timeout", "2")
    assert proxy.stat("cluster.total.upstream_rq_timeout") == 1
    assert proxy.stat("cluster.total.upstream_rq_504") == 1


def test_total_timeout_within_the_back_off(proxy: Proxy) -> None:
    response, count = run(proxy, "waiting", status(503), "slow")
    assert (response.status, count) == (504, 1)
    assert logged(proxy, "waiting", "slow") == ("504", "UT", "response_timeout", "1")
    assert proxy.stat("cluster.waiting.upstream_rq_timeout") == 0
    assert proxy.stat("cluster.waiting.upstream_rq_504") == 0


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("x-reset: 1", "ratelimited"),
        ("x-reset: 0", "exponential"),
        ("x-reset: 2", "exponential"),
        ("x-reset: later", "exponential"),
        ("x-reset: 9\r\nx-at: 5", "exponential"),
    ],
)
def test_back_off_as_asked(proxy: Proxy, header: str, kind: str) -> None:
    """Only what is within the maximum counts."""
    name = f"cluster.asked.upstream_rq_retry_backoff_{kind}"
    before = proxy.stat(name)
    answer = status(503, f"{header}\r\n")
    started = time.monotonic()
    assert run(proxy, "asked", answer, "asked")[1] == 2
    assert time.monotonic() - started > 0.9 or kind != "ratelimited"
    assert proxy.stat(name) == before + 1


def test_circuit_breaker(proxy: Proxy) -> None:
    response, count = run(proxy, "breaker", status(503), "full")
    assert (response.status, response.text, count) == (503, "bad", 1)
    assert logged(proxy, "breaker", "full") == ("503", "UO", "via_upstream", "1")
    assert counted(proxy, "breaker") == {"retry_overflow": 1}
    response, count = run(proxy, "breaker", CLOSE, "closed", method="POST")
    assert (response.text, count) == (RESET + "connection termination", 1)
    assert logged(proxy, "breaker", "closed")[1] == "UO,UC"


def test_circuit_breaker_while_a_retry_waits(proxy: Proxy) -> None:
    """A retry counts from the decision on; what it adds to the statistics is added when it is made."""
    proxy.origin().on("/waiting", status(503))
    prefix = "cluster.waiting."
    gauges = f"{prefix}circuit_breakers.default."
    assert proxy.stats(f"^{gauges}.*retr") == {gauges + "rq_retry_open": 0, gauges + "remaining_retries": 1}
    with proxy.client() as client:
        client.send("GET /waiting?first HTTP/1.1\r\nhost: a\r\n\r\n")
        assert proxy.stat_becomes(gauges + "rq_retry_open", 1)
        assert proxy.stat(gauges + "remaining_retries") == 0
        assert proxy.ask("/waiting?second").status == 503
        assert proxy.stat(prefix + "upstream_rq_retry") == 0
        assert proxy.stat(prefix + "upstream_rq_retry_overflow") == 1
        assert client.read().status == 504
    assert proxy.stat(gauges + "rq_retry_open") == 0


def test_budget(proxy: Proxy) -> None:
    """It takes the place of max_retries, also where it is empty."""
    assert run(proxy, "budget", failing(1, status(503)), "empty")[1] == 2
    assert run(proxy, "budget_low", failing(1, status(503)), "low")[1] == 1
    assert counted(proxy, "budget_low") == {"retry_overflow": 1}


@pytest.mark.parametrize(
    ("case", "failure", "attempts"),
    [
        ("head", status(503, body=""), 2),
        ("content", status(503), 2),
        ("late-content", raw("HTTP/1.1 503 X\r\ncontent-length: 1\r\n\r\n", 0.05, "x"), 2),
        ("chunks", raw("HTTP/1.1 503 X\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"), 2),
        ("to-the-end", raw("HTTP/1.1 503 X\r\n\r\nx", then="close"), 2),
        ("closed", CLOSE, 2),
        ("reset", raw(then="reset"), 2),
        ("garbage", raw("garbage\r\n\r\n"), 2),
        ("silence", silent(), 2),
    ],
)
def test_whether_what_has_failed_is_active(proxy: Proxy, case: str, failure: Answer, attempts: int) -> None:
    """As many retries as are active: one, while the failed request is."""
    assert run(proxy, "budget_own", failing(1, failure), case, method="POST")[1] == attempts


def test_a_body_is_sent_again(proxy: Proxy) -> None:
    bodies = []

    def answer(exchange: Exchange) -> None:
        bodies.append(exchange.read_body())
        status(503)(exchange)

    assert run(proxy, "three", answer, "body", method="POST", body=b"x" * 3000)[1] == 4
    assert bodies == [b"x" * 3000] * 4


def test_chunks_and_trailers_are_sent_again(proxy: Proxy) -> None:
    proxy.origin().on("/r5xx", failing(1, status(503)))
    with proxy.client() as client:
        client.send("POST /r5xx?chunks HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        client.send("3\r\nabc\r\n4\r\ndefg\r\n")
        client.send("0\r\n\r\n")
        assert client.read().text == "good"
    assert [proxy.origin().take().wait().body for _ in range(2)] == [b"abcdefg"] * 2


def test_a_body_over_the_limit_is_not_kept(proxy: Proxy) -> None:
    name = "cluster.body.retry_or_shadow_abandoned"
    assert run(proxy, "body", status(503), "kept", method="POST", body=b"x" * 10)[1] == 3
    assert proxy.stat(name) == 0
    response, count = run(proxy, "body", status(503), "large", method="POST", body=b"x" * 11)
    assert (response.status, response.text, count) == (503, "bad", 1)
    assert logged(proxy, "body", "large")[1] == "-"
    assert proxy.stat(name) == 1


# virtual host, route: the largest content that is kept
LIMITS = {
    ("kept", "kept_listener"): 5000,
    ("kept", "kept_old"): 9000,
    ("kept", "kept_new"): 9000,
    ("kept", "kept_both"): 9000,
    ("old", "kept_listener"): 200,
    ("old", "kept_old"): 9000,
    ("new", "kept_listener"): 200,
    ("new", "kept_old"): 200,
    ("new", "kept_new"): 9000,
}


@pytest.mark.parametrize(("host", "route"), LIMITS)
def test_how_much_is_kept(proxy: Proxy, host: str, route: str) -> None:
    """The nearest word of the newer field, or else of the older one, or else the listener's limit."""
    proxy.origin().on(f"/{route}", status(503))
    limit = LIMITS[host, route]
    for size, attempts in ((limit, 2), (limit + 1, 1)):
        proxy.ask(f"/{route}", "small", method="POST", body=b"x" * size, host=host)
        for _ in range(attempts):
            proxy.origin().take().wait()
        assert proxy.origin().nothing(0.01)


def test_an_answer_before_the_whole_request_is_retried(proxy: Proxy) -> None:
    proxy.origin().on("/three", failing(1, raw("HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n", early=True)))
    with proxy.client() as client:
        client.send("POST /three?early HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc")
        proxy.origin().take()
        second = proxy.origin().take()
        client.send("def")
        assert client.read().text == "good"
        assert second.wait().body == b"abcdef"


def test_a_body_over_the_limit_while_there_is_no_attempt(proxy: Proxy) -> None:
    early = raw("HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n", early=True)
    proxy.origin().on("/waiting", early)
    with proxy.client() as client:
        client.send("POST /waiting?grows HTTP/1.1\r\nhost: a\r\ncontent-length: 2000000\r\n\r\nabc")
        proxy.origin().take()
        assert proxy.stat_becomes("cluster.waiting.upstream_rq_active", 0)
        client.send(b"x" * 1_500_000)
        response = client.read()
        assert (response.status, response.text) == (
            507,
            "exceeded request buffer limit while retrying upstream",
        )
    assert logged(proxy, "waiting", "grows")[1:3] == ("-", "request_payload_exceeded_retry_buffer_limit")


def test_hedging(proxy: Proxy) -> None:
    """The first attempt may still win."""
    slow = raw(0.15, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nslow")
    response, count = run(proxy, "hedge", failing(1, slow, silent()), "first-wins")
    assert (response.status, response.text, count) == (200, "slow", 2)
    assert logged(proxy, "hedge", "first-wins")[0::3] == ("200", "2")
    response, count = run(proxy, "hedge", failing(1, silent()), "second-wins")
    assert (response.status, response.text, count) == (200, "good", 2)
    response, count = run(proxy, "hedge", silent(), "none-wins")
    assert (response.status, count) == (504, 2)
    assert logged(proxy, "hedge", "none-wins") == ("504", "URX,UT", "response_timeout", "2")


def test_hedging_with_a_bad_answer(proxy: Proxy) -> None:
    bad_late = raw(0.1, "HTTP/1.1 503 X\r\ncontent-length: 3\r\n\r\nbad")
    good_later = raw(0.12, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood")
    response, count = run(proxy, "hedge", failing(1, bad_late, good_later), "bad-then-good")
    assert (response.status, response.text, count) == (200, "good", 2)


def test_what_a_budget_allows_is_shown(proxy: Proxy) -> None:
    clusters = proxy.admin("/clusters").text
    assert "budget::default_priority::max_retries::3\n" in clusters
    assert "budget_low::default_priority::max_retries::0\n" in clusters
