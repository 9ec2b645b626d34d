"""A cluster in words: which of its hosts get requests, why the others do not, and what of its limits is in use."""

from __future__ import annotations

from typing import Any

from twistproxy.model.health import in_words
from twistproxy.upstream.cluster import Cluster
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.shares import loads, priorities

#: Hosts that are told one by one; of more there is only the number.
_MOST_HOSTS = 100

_LIMITED = ("connections", "pending requests", "requests", "retries")


def explain_cluster(cluster: Cluster, chosen: Host | None = None) -> dict[str, Any]:
    """name, lb_policy, hosts (address, eligible, verdict), those that are out first if there are many, hosts_left_out,
    notes.  `chosen`: the host that a request has got."""
    hosts = list(cluster.hosts.values())
    found = priorities(hosts, cluster.policy, cluster.panic_threshold)
    shares: dict[int, int] = {}
    for load in loads(found):
        priority = found[load.priority]
        usable = priority.degraded if load.degraded else priority.healthy
        for host in priority.hosts if priority.panic else usable:
            shares[id(host)] = shares.get(id(host), 0) + load.per_cent
    notes = []
    members = cluster.settings.aggregate
    if members:
        notes.append(f"its hosts are those of the clusters {', '.join(members)}, priority after priority")
    elif cluster.settings.original_dst is not None:
        notes.append("a request goes to where it was going anyway: these are the hosts that were met so far")
    elif not hosts:
        notes.append(
            "it has no hosts" if cluster.warm else "its discovery has not answered yet, so it has no hosts"
        )
    elif any(found[load.priority].panic for load in loads(found)):
        notes.append(
            "panic: too few of its hosts are healthy, so all of them are used, whatever their health"
        )
    if len(hosts) > _MOST_HOSTS:
        hosts.sort(key=lambda host: id(host) in shares)
    return {
        "name": cluster.name,
        "lb_policy": cluster.settings.balancing.policy,
        "hosts": [
            {
                "address": host.address_text,
                "eligible": id(host) in shares,
                "verdict": _verdict(host, shares.get(id(host), 0))
                + (", chosen this time" if host is chosen else ""),
            }
            for host in hosts[:_MOST_HOSTS]
        ],
        "hosts_left_out": max(0, len(hosts) - _MOST_HOSTS),
        "notes": notes,
    }


def _verdict(host: Host, share: int) -> str:
    health = "; ".join(in_words(host.flags))
    if not share:
        return f"out: {health or f'hosts of a better priority than {host.endpoint.priority} suffice'}"
    words = f"eligible, one of those that share {share} % of the requests"
    return f"{words}; {health}" if health else words


def explain_live_cluster(cluster: Cluster) -> dict[str, Any]:
    """The same of a cluster that carries traffic, with a `summary` and what of its circuit breakers is in use by all
    workers: `in_use`, a list of lines."""
    told = explain_cluster(cluster)
    membership, healthy = cluster.membership()
    in_use = []
    for name, limits in zip(("default", "high"), cluster.limits, strict=True):
        most = (limits.max_connections, limits.max_pending, limits.max_requests, limits.max_retries)
        for what, count, limit in zip(_LIMITED, limits.in_use(), most, strict=True):
            if what == "retries" and limits.retry_budget is not None:
                percent, least = limits.retry_budget
                in_use.append(f"{name} priority: {count} retries, of {percent:g} % but at least {least}")
            else:
                in_use.append(f"{name} priority: {count} {what}, of {limit}")
    if cluster.maintenance:
        told["notes"].append(f"the runtime has {cluster.maintenance} % of its requests refused (maintenance)")
    summary = f"cluster {cluster.name!r} has {membership} hosts, {healthy} of them usable."
    return {"summary": summary, "cluster": {**told, "in_use": in_use}}
