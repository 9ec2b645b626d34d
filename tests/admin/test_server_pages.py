"""/ready, /server_info, /listeners, /certs, /memory, /logging and the master's own statistics."""

import json

import pytest

from twistproxy import __version__
from twistproxy.admin import server_pages
from twistproxy.admin.answer import Query, parse_query
from twistproxy.admin.logging_page import logging_page
from twistproxy.admin.merge import Statistics
from twistproxy.admin.server_stats import server_snapshot, version_number
from twistproxy.admin.view import ServerFacts

from .fakes import FakeView


@pytest.mark.parametrize(
    ("state", "healthy", "status", "text"),
    [
        ("LIVE", True, 200, "LIVE\n"),
        ("LIVE", False, 503, "DRAINING\n"),
        ("DRAINING", True, 503, "DRAINING\n"),
        ("INITIALIZING", True, 503, "INITIALIZING\n"),
        ("PRE_INITIALIZING", False, 503, "PRE_INITIALIZING\n"),
    ],
)
def test_ready(state: str, healthy: bool, status: int, text: str) -> None:
    view = FakeView()
    view.state, view.healthy = state, healthy
    answer = server_pages.ready(view)
    assert (answer.status, answer.body) == (status, text)


def test_server_info() -> None:
    info = json.loads(server_pages.server_info(FakeView()).body)
    assert info["version"].startswith(__version__)
    assert (info["state"], info["uptime_current_epoch"], info["uptime_all_epochs"]) == ("LIVE", "9s", "61s")
    assert info["command_line_options"]["concurrency"] == 2
    assert info["command_line_options"]["mode"] == "Serve"
    assert info["node"]["id"] == "n1"
    assert info["node"]["locality"] == {"region": "", "zone": "z1", "sub_zone": ""}
    assert info["node"]["user_agent_name"] == "twistproxy"


def test_listeners() -> None:
    view = FakeView()
    text = server_pages.listeners(view, {}).body
    assert text == "ingress::127.0.0.1:29980\nsix::[::1]:29981\nsix::/run/six.sock\n"
    first, second = json.loads(server_pages.listeners(view, {"format": "json"}).body)["listener_statuses"]
    assert first == {
        "name": "ingress",
        "local_address": {"socket_address": {"address": "127.0.0.1", "port_value": 29980}},
    }
    assert second["local_address"] == {"socket_address": {"address": "::1", "port_value": 29981}}
    assert second["additional_local_addresses"] == [{"pipe": {"path": "/run/six.sock"}}]


def test_certs() -> None:
    assert server_pages.certs().body == '{\n "certificates": []\n}\n'


def test_memory() -> None:
    memory = json.loads(server_pages.memory(FakeView()).body)
    assert (memory["allocated"], memory["heap_size"]) == ("1000", "2000")
    assert set(memory) == {
        "allocated",
        "heap_size",
        "pageheap_unmapped",
        "pageheap_free",
        "total_thread_cache",
        "total_physical_bytes",
    }


def test_version_number() -> None:
    assert version_number("1.2.3") == 0x010203
    assert version_number("2.0rc1") == 0x020100


def test_server_stats() -> None:
    facts = ServerFacts(concurrency=2, uptime=61.9, initialization_ms=123, worker_restarts=3, gauges={"g": 1})
    statistics = Statistics()
    statistics.report("master", server_snapshot(facts, healthy=False))
    totals = statistics.totals()
    assert totals.gauges["server.live"] == 0
    assert totals.gauges["server.state"] == 1
    assert totals.gauges["server.concurrency"] == 2
    assert totals.gauges["server.uptime"] == 61
    assert totals.gauges["g"] == 1
    assert totals.counters["server.worker_restarts"] == 3
    assert totals.histograms["server.initialization_time_ms"] == {120: 1}
    assert {"server.live", "server.worker_restarts", "server.initialization_time_ms"} <= totals.used
    assert not {"server.reloads", "server.hot_restart_epoch"} & totals.used
    statistics.reset_counters()
    assert statistics.totals().counters["server.worker_restarts"] == 0


def test_what_the_start_waits_for() -> None:
    view = FakeView()
    assert server_pages.init_dump(view, Query()).body == "{}\n"
    view.unready = ("worker 1",)
    waiting = {"unready_targets_dumps": [{"name": "workers", "target_names": ["worker 1"]}]}
    assert json.loads(server_pages.init_dump(view, Query()).body) == waiting
    assert json.loads(server_pages.init_dump(view, parse_query("mask=workers")).body) == waiting
    assert server_pages.init_dump(view, parse_query("mask=listener")).body == "{}\n"


def test_logging_lists_levels() -> None:
    answer = logging_page(FakeView(), {})
    assert (answer.status, answer.body) == (200, "active loggers:\n  admin: info\n  http: info\n\n")


@pytest.mark.parametrize(
    ("query", "levels"),
    [
        ({"level": "error"}, {"admin": "error", "http": "error"}),
        ({"http": "debug"}, {"admin": "info", "http": "debug"}),
        ({"paths": "http:trace,admin:off"}, {"admin": "off", "http": "trace"}),
        ({"level": ""}, {"admin": "info", "http": "info"}),
        ({"unknown": ""}, {"admin": "info", "http": "info"}),
    ],
)
def test_logging_changes(query: dict[str, str], levels: dict[str, str]) -> None:
    view = FakeView()
    answer = logging_page(view, query)
    assert answer.status == 200
    assert view.levels == levels
    assert f"  http: {levels['http']}\n" in answer.body


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ({"level": "loud"}, "unknown logger level"),
        ({"admin": "loud"}, "unknown logger level"),
        ({"nobody": "info"}, "unknown logger name"),
        ({"paths": "admin:debug,nobody:info"}, "unknown logger name"),
        ({"paths": "admin"}, "empty logger name or empty logger level"),
        ({"paths": "admin:"}, "empty logger name or empty logger level"),
        ({"level": "info", "admin": "info"}, "invalid number of parameters"),
    ],
)
def test_logging_refuses_and_changes_nothing(query: dict[str, str], problem: str) -> None:
    view = FakeView()
    answer = logging_page(view, query)
    assert answer.status == 400
    assert answer.body.startswith(
        f"error: {problem}\n\nusage: /logging?<name>=<level> (change single level)\n"
    )
    assert answer.body.endswith("active loggers:\n  admin: info\n  http: info\n\n")
    assert view.levels == {"admin": "info", "http": "info"}
