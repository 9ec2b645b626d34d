"""What would happen to a request, and why: the engine behind `/explain` and `twistproxy explain`.

The request is really made: its bytes are fed to a connection of a connection manager that has the listener's own
settings, filters and routes, and clusters with the hosts that the live ones have.  What differs is what lies around:
time stands still, nothing is counted or logged, and connections lead nowhere (`process.trial`).  So what is told here
is what the code that carries traffic does, down to the bytes that an upstream would get.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from twistproxy.http.message import RequestHead
from twistproxy.model.address import TcpAddress
from twistproxy.model.listener import ListenerSettings
from twistproxy.observe.flags import flag_text
from twistproxy.process.explain_cluster import explain_cluster
from twistproxy.process.in_force import filters_in_force, in_force
from twistproxy.process.trial import Trial, TrialParts
from twistproxy.route.action import Route
from twistproxy.route.table import Consideration, RouteTable

#: Routes that are told one by one; of more there is only the number.
_MOST_ROUTES = 100


@dataclass(frozen=True, slots=True)
class Question:
    """A request that somebody wonders about.

    listener  its name; "" stands for the first one
    source    the address that it comes from
    """

    path: str
    host: str = ""
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    listener: str = ""
    source: str = "127.0.0.1"

    @classmethod
    def from_json(cls, question: dict[str, Any]) -> Question:
        return cls(
            question["path"],
            question.get("host", ""),
            question.get("method", "GET"),
            tuple((name, value) for name, value in question.get("headers", ())),
            question.get("listener", ""),
            question.get("from", "127.0.0.1"),
        )

    def as_bytes(self) -> bytes:
        """The request, as HTTP/1.1 sends it."""
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        if not any(name.lower() == "host" for name, _ in self.headers):
            lines.append(f"host: {self.host}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


def explain(
    question: Question, listener: ListenerSettings, table: RouteTable, parts: TrialParts
) -> dict[str, Any]:
    """The explanation, as JSON values.

    summary       one sentence
    listener      name, address, filter_chain, stat_prefix, http_filters (the chain in order, as the route has it)
    virtual_host  route_configuration, name (None if there is none for the host), domain; absent if the request was
                  answered before it came to routing, as are the following
    routes        number, name, match, taken, failed (words) for each route considered, in order; `routes_left_out`
                  is how many of those that do not match were left out
    route         what the route that is taken does, and what is in force then: `process.in_force`
    request       method, path, host, headers as the upstream gets them
    cluster       name, lb_policy, hosts (address, eligible, verdict), hosts_left_out, notes
    reply         status, headers, body, flags, details: an answer by the proxy itself; `overload`: the names of what
                  the overload manager does at the moment, if that is why
    """
    trial = Trial(listener.filter_chain.http_manager, listener.address, table, parts)
    trial.run(question.as_bytes(), TcpAddress(question.source, 50000))
    out: dict[str, Any] = {"summary": "", "listener": {}}
    stream = trial.stream
    considered = trial.considered
    head = None if stream is None else stream.head
    out["listener"] = _listener(listener, None if considered is None else considered.route, head)
    if considered is not None:
        out |= _routing(considered, table)
        if considered.route is not None:
            out["route"] = dict(_route(considered.route))
            if considered.route.cluster is not None and trial.head is not None:
                settings = listener.filter_chain.http_manager
                out["route"] |= in_force(stream, trial.head, settings, trial.cluster)
    sent = trial.request_sent
    if sent is not None:
        out["request"] = sent
    cluster = trial.cluster
    if cluster is not None:
        out["cluster"] = explain_cluster(cluster, stream.host)
    what = f"{question.method} {question.path} on host {question.host!r}"
    goes = "goes to" if sent is not None else "becomes a TCP connection to"
    reply = trial.reply
    if reply is not None and stream.details != "via_upstream":
        flags = flag_text(stream.flags)
        out["reply"] = {**reply, "flags": flags, "details": stream.details}
        why = stream.details
        if why == "overload":
            out["reply"]["overload"] = parts.guards.overload.active
            why += f": {', '.join(parts.guards.overload.active)}"
        out["summary"] = f"{what} is answered {reply['status']} by the proxy itself ({why})."
    elif stream is not None and stream.host is not None and cluster is not None:
        out["summary"] = f"{what} {goes} cluster {stream.cluster!r}, this time to {stream.host.address_text}."
    else:
        out["summary"] = f"{what} is no request that could be answered."
    return out


def _listener(settings: ListenerSettings, route: Route | None, head: RequestHead | None) -> dict[str, Any]:
    manager = settings.filter_chain.http_manager
    filters = manager.filters
    if head is not None and (b"upgrade" in head.index or not head.path):
        kind = head.index.get(b"upgrade", b"connect").lower().decode("latin-1")
        own = {one.kind: one.filters for one in manager.upgrades}.get(kind)
        filters = filters if own is None else own
    return {
        "name": settings.name,
        "address": str(settings.address),
        "filter_chain": settings.filter_chain.name,
        "stat_prefix": manager.stat_prefix,
        "http_filters": filters_in_force(filters, route),
    }


def _routing(considered: Consideration, table: RouteTable) -> dict[str, Any]:
    found = considered.virtual_host
    host: dict[str, Any] = {"route_configuration": table.name, "name": None, "domain": ""}
    if found is not None:
        host |= {"name": found.name, "domain": considered.domain}
    if considered.to_tls:
        host["require_tls"] = "the virtual host wants TLS: redirected to https"
    if considered.decisions:
        host["matcher"] = considered.decisions
    told = considered.considered
    left_out = max(0, len(told) - _MOST_ROUTES)
    routes = []
    for one in told[left_out:]:
        entry = one.entry
        routes.append(
            {
                "number": entry.order + 1,
                "name": entry.name,
                "match": " and ".join(part.describe() for part in (entry.path, *entry.conditions)),
                "taken": one.failed is None,
                "failed": "" if one.failed is None else f"not {one.failed.describe()}",
            }
        )
    return {"virtual_host": host, "routes": routes, "routes_left_out": left_out}


def _route(route: Route) -> Iterator[tuple[str, Any]]:
    yield "name", route.name or None
    if route.redirect is not None:
        yield "action", f"redirect with status {route.redirect.status}"
    elif route.direct_response is not None:
        yield "action", f"direct response with status {route.direct_response.status}"
    else:
        yield "action", f"forward to cluster {route.cluster!r}"
        yield "priority", "HIGH" if route.high_priority else "DEFAULT"
