"""The page /explain: what would happen to a request, and why; or which hosts of a cluster are out, and why.

The answer comes from a worker (`process.explain`, which has its shape); here the question is read and the answer made
readable.  None of Envoy's pages does this.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from twistproxy.admin.answer import Answer, Query, bad_request, json_page
from twistproxy.admin.view import AdminView, Json

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

_USAGE = (
    "usage: /explain?path=/x[&host=a.example][&method=GET][&header=name:value ...][&listener=name][&from=192.0.2.1]"
    "[&format=(text|json)]\n       /explain?cluster=name[&format=(text|json)]\n"
)


def explain_page(view: AdminView, query: Query) -> Answer | Deferred[Answer]:
    """/explain: the path is needed; everything else has a default."""
    form = query.get("format", "text")
    if form not in ("text", "json"):
        raise bad_request(_USAGE)
    pending = view.explain(question(query))
    if pending is None:
        return Answer("no worker is ready to ask\n", 503)

    def answer(explanation: Json) -> Answer:
        if not explanation:
            return Answer("the worker that was asked is gone\n", 503)
        status = 400 if "error" in explanation else 200
        if form == "json":
            page = json_page(explanation)
            return Answer(page.body, status, page.content_type)
        return Answer(explanation_text(explanation), status)

    return pending.addCallback(answer)


def question(query: Query) -> Json:
    """The parameters as `process.wiring.Runtime.explain` takes them.  PageError if one is wrong."""
    cluster = query.get("cluster", "")
    if cluster:
        return {"cluster": cluster}
    path, host = query.get("path", ""), query.get("host", "")
    if "://" in path:  # a whole URL will do
        url = urlsplit(path)
        host = host or url.netloc
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    if not path:
        raise bad_request(_USAGE)
    headers = []
    for line in query.every("header"):
        name, colon, value = line.partition(":")
        if not colon or not name:
            raise bad_request(f"header={line}: a name, a colon and a value are expected\n")
        headers.append([name.strip(), value.strip()])
    return {
        "method": query.get("method", "GET"),
        "host": host,
        "path": path,
        "headers": headers,
        "listener": query.get("listener", ""),
        "from": query.get("from", "127.0.0.1"),
    }


def explanation_text(explanation: Json) -> str:
    """An explanation for people."""
    return "\n".join(_lines(explanation)) + "\n"


def _lines(explanation: Json) -> Iterator[str]:
    if "error" in explanation:
        yield str(explanation["error"])
        return
    yield explanation["summary"]
    if "listener" in explanation:
        yield from _listener(explanation["listener"])
    if "virtual_host" in explanation:
        yield from _virtual_host(explanation)
    if "route" in explanation:
        yield from _section("route", explanation["route"])
    if "request" in explanation:
        yield from _request(explanation["request"])
    if "cluster" in explanation:
        yield from _cluster(explanation["cluster"])
    if "reply" in explanation:
        yield from _reply(explanation["reply"])


def _listener(listener: Json) -> Iterator[str]:
    yield ""
    yield f"listener       {listener['name']} on {listener['address']}"
    if listener.get("filter_chain"):
        yield f"filter chain   {listener['filter_chain']}"
    yield f"HTTP filters   {', '.join(listener['http_filters'])}"


def _virtual_host(explanation: Json) -> Iterator[str]:
    found = explanation["virtual_host"]
    yield ""
    if found["name"] is None:
        yield f"virtual host   none of {found['route_configuration']!r} has a domain for this host"
        return
    yield f"virtual host   {found['name']} of {found['route_configuration']!r}"
    yield ""
    yield "routes, in order:"
    for route in explanation["routes"]:
        name = f" ({route['name']})" if route["name"] else ""
        verdict = "TAKEN" if route["taken"] else f"no: {route['failed']}"
        yield f"  {route['number']:>4}. {route['match']}{name}: {verdict}"
    if explanation["routes_left_out"]:
        yield f"        ... and {explanation['routes_left_out']} before that do not match"


def _section(title: str, values: Json) -> Iterator[str]:
    yield ""
    yield f"{title}:"
    for name, value in values.items():
        if isinstance(value, list):
            for one in value:
                yield f"  {name.replace('_', ' ')}: {one}"
        elif value is not None:
            yield f"  {name.replace('_', ' ')}: {value}"


def _request(request: Json) -> Iterator[str]:
    yield ""
    yield "request as the upstream gets it:"
    yield f"  {request['method']} {request['path']}"
    yield f"  host: {request['host']}"
    for name, value in request["headers"]:
        yield f"  {name}: {value}"


def _cluster(cluster: Json) -> Iterator[str]:
    yield ""
    yield f"cluster {cluster['name']} ({cluster['lb_policy']}), {len(cluster['hosts'])} hosts:"
    for host in cluster["hosts"]:
        yield f"  {host['address']}  {host['verdict']}"
    if cluster["hosts_left_out"]:
        yield f"  ... and {cluster['hosts_left_out']} more"
    for note in cluster["notes"]:
        yield f"  {note}"
    if "in_use" in cluster:
        yield ""
        yield "circuit breakers, in use by all workers:"
        for line in cluster["in_use"]:
            yield f"  {line}"


def _reply(reply: Json) -> Iterator[str]:
    yield ""
    yield f"answer by the proxy itself: {reply['status']}"
    yield f"  response flags: {reply['flags']}"
    yield f"  details: {reply['details']}"
    for name, value in reply["headers"]:
        yield f"  {name}: {value}"
    if reply["body"]:
        yield f"  body: {reply['body']}"
