"""Request mirroring as configured (envoy.config.route.v3.RouteAction.RequestMirrorPolicy)."""

from __future__ import annotations

from dataclasses import dataclass

from twistproxy.model.http_filters import Mutation


@dataclass(frozen=True, slots=True)
class MirrorSettings:
    """Requests are copied to `cluster`, or if that is "" to the cluster that the header `cluster_header` names.

    runtime_key, numerator, denominator  the share of requests that is
    suffix      the copy's host has "-shadow" behind its name …
    host        … or is this; "" for none
    mutations   what is done to the copy's headers, one after the other
    """

    cluster: str = ""
    cluster_header: str = ""
    runtime_key: str = ""
    numerator: int = 100
    denominator: int = 100
    suffix: bool = True
    host: str = ""
    mutations: tuple[Mutation, ...] = ()
