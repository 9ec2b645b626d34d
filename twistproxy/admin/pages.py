"""The handlers of the pages: each takes the view and the query and gives an answer, now or later."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import re2

from twistproxy.admin import server_pages
from twistproxy.admin.answer import HTML, JSON, Answer, Query, bad_request, compile_regex, json_page
from twistproxy.admin.clusters import cluster_names, clusters_json, clusters_text
from twistproxy.admin.config_dump import config_dump, sections
from twistproxy.admin.logging_page import logging_page
from twistproxy.admin.merge import Statistics
from twistproxy.admin.runtime_page import runtime_modify_page, runtime_page
from twistproxy.admin.server_stats import report_own
from twistproxy.admin.stats_select import Selected, StatsQuery, parse_stats_query, select
from twistproxy.admin.stats_text import stats_json, stats_text
from twistproxy.admin.view import AdminView, DrainRequest

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

_OK = Answer("OK\n")
_FORMATS = ("", "text", "json", "html", "active-html", "prometheus")
#: Seconds between two looks at the page that refreshes itself.
_REFRESH = 5


def ready_page(view: AdminView, query: Query) -> Answer:
    return server_pages.ready(view)


def server_info_page(view: AdminView, query: Query) -> Answer:
    return server_pages.server_info(view)


def listeners_page(view: AdminView, query: Query) -> Answer:
    return server_pages.listeners(view, query)


def certs_page(view: AdminView, query: Query) -> Answer:
    return server_pages.certs()


def memory_page(view: AdminView, query: Query) -> Answer:
    return server_pages.memory(view)


def runtime_command(view: AdminView, query: Query) -> Answer:
    return runtime_page(view)


def runtime_modify_command(view: AdminView, query: Query) -> Answer:
    return runtime_modify_page(view, query)


def logging_command(view: AdminView, query: Query) -> Answer:
    return logging_page(view, query)


def stats_page(view: AdminView, query: Query) -> Deferred[Answer]:
    """/stats in any of its formats."""
    form = query.get("format", "")
    if form not in _FORMATS:
        raise bad_request("usage: /stats?format=(html|active-html|json|prometheus|text)\n\n")
    if form == "prometheus":
        return prometheus_page(view, query)
    wanted = parse_stats_query(query)

    def answer(statistics: Statistics) -> Answer:
        selected = _selected(view, statistics, wanted)
        if form == "json":
            return Answer(stats_json(selected, wanted.buckets), content_type=JSON)
        text = stats_text(selected, wanted.buckets)
        if form in ("html", "active-html"):
            return Answer(_as_html(text, form != "html"), content_type=HTML)
        return Answer(text)

    return view.collect("figures").addCallback(answer)


def _as_html(text: str, active: bool) -> str:
    refresh = f"<meta http-equiv='refresh' content='{_REFRESH}'>" if active else ""
    return (
        f"<!DOCTYPE html>\n<html lang='en'>\n<head><title>Twistproxy Admin</title>{refresh}</head>\n"
        f"<body>\n<pre>\n{escape(text)}</pre>\n</body>\n</html>\n"
    )


def prometheus_page(view: AdminView, query: Query) -> Deferred[Answer]:
    """/stats/prometheus."""
    wanted: StatsQuery = parse_stats_query(query)
    if wanted.buckets not in ("", "cumulative", "summary"):
        raise bad_request("unsupported prometheus histogram bucket mode")

    def answer(statistics: Statistics) -> Answer:
        # Imported when first asked for: a master that nobody scrapes need not hold the library in memory.
        from twistproxy.admin.prometheus import prometheus_text

        selected = _selected(view, statistics, wanted)
        return Answer(prometheus_text(selected, wanted.buckets == "summary", wanted.text_readouts))

    return view.collect("figures").addCallback(answer)


def _selected(view: AdminView, statistics: Statistics, wanted: StatsQuery) -> Selected:
    report_own(view, statistics)
    view.stats_asked(statistics)
    return select(statistics.totals(), wanted, view.stats_config())


def clusters_page(view: AdminView, query: Query) -> Deferred[Answer]:
    """/clusters, text or JSON, ?filter= on the names."""
    pattern = None
    if query.get("filter"):
        try:
            pattern = compile_regex(query["filter"])
        except re2.error as error:
            raise bad_request("Invalid re2 regex") from error

    def answer(statistics: Statistics) -> Answer:
        totals = statistics.totals()
        names = cluster_names(totals, pattern)
        if query.get("format") == "json":
            return json_page(clusters_json(totals, names))
        return Answer(clusters_text(totals, names))

    return view.collect("hosts").addCallback(answer)


def config_dump_page(view: AdminView, query: Query) -> Answer | Deferred[Answer]:
    """/config_dump; the endpoints are those that the workers use now."""

    def answer(statistics: Statistics | None) -> Answer:
        node = server_pages.described_node(view.node())
        totals = None if statistics is None else statistics.totals()
        dump = sections(view.bootstrap(), node, view.facts().bootstrap_updated, totals)
        return config_dump(dump, query)

    return view.collect("hosts").addCallback(answer) if "include_eds" in query else answer(None)


def drain_page(view: AdminView, query: Query) -> Answer:
    view.drain_listeners(DrainRequest("graceful" in query, "skip_exit" in query, "inboundonly" in query))
    return _OK


def fail_page(view: AdminView, query: Query) -> Answer:
    view.set_healthy(False)
    return _OK


def ok_page(view: AdminView, query: Query) -> Answer:
    view.set_healthy(True)
    return _OK


def reset_page(view: AdminView, query: Query) -> Deferred[Answer]:
    """/reset_counters.  What the workers count in the moment between asking them and resetting stays
    counted."""

    def reset(statistics: Statistics) -> Answer:
        report_own(view, statistics)
        statistics.reset_counters()
        return _OK

    return view.collect("figures").addCallback(reset)


def reopen_page(view: AdminView, query: Query) -> Answer:
    view.reopen_logs()
    return _OK


def init_dump_page(view: AdminView, query: Query) -> Answer:
    return server_pages.init_dump(view, query)


def contention_page(view: AdminView, query: Query) -> Answer:
    return Answer("Mutex contention tracing is not enabled.")


def cpu_profiler_page(view: AdminView, query: Query) -> Answer:
    """There is none to start, and so none that runs."""
    if list(query) != ["enable"] or query["enable"] not in ("y", "n"):
        raise bad_request("?enable=<y|n>\n")
    return _OK if query["enable"] == "n" else Answer("failure to start the profiler", 500)


def heap_profiler_page(view: AdminView, query: Query) -> Answer:
    return Answer("The current build does not support heap profiler", 501)


def quit_page(view: AdminView, query: Query) -> Answer:
    """The server calls `view.quit` once this answer is written."""
    return _OK
