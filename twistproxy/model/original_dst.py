"""Clusters whose hosts are where requests were going anyway (envoy.config.cluster.v3.Cluster, type ORIGINAL_DST)."""

from __future__ import annotations

from dataclasses import dataclass

from twistproxy.model.address import TcpAddress


@dataclass(frozen=True, slots=True)
class OriginalDstSettings:
    """Where a request's destination is found: in its filter state, else in its metadata, else in a header, else the
    connection has it.

    header       of the request, "" for none
    metadata     namespace and keys of the request's dynamic metadata, () for none
    port         in place of the destination's, None for that
    cleanup_interval  seconds after which a host that nobody uses any more goes
    """

    header: str = ""
    metadata: tuple[str, ...] = ()
    port: int | None = None
    cleanup_interval: float = 5.0


def host_name(cluster: str, address: TcpAddress) -> str:
    """What Envoy calls such a host."""
    return f"{cluster}{address}"
