"""Operators of access log formats that tell addresses, ports and connections, and TLS, of which there is none."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from typing import Any

from twistproxy.observe.log_syntax import Clocks, Operator, Spec

_Text = Callable[[Any], str | None]


def _direct_remote(stream: Any) -> str:
    text: str = stream.connection.direct_text
    return text


def _remote(stream: Any) -> str:
    """The client's address: of the connection, or as trusted proxies tell it."""
    text: str = stream.remote_text
    return text


def _local(stream: Any) -> str:
    text: str = stream.connection.local_text
    return text


def upstream_host(stream: Any) -> str | None:
    """The host that was chosen, also where no connection to it was made."""
    return None if stream.host is None else stream.host.address_text


def _upstream_host_name(stream: Any) -> str | None:
    return None if stream.host is None else _name_of(stream.host)


def _upstream_remote(stream: Any) -> str | None:
    """The other end of the connection to the upstream: the host's address, or one of them if it has several."""
    connection = stream.upstream_connection
    if connection is None:
        return None
    if stream.host is not None and stream.host.endpoint.additional:
        return _twisted(connection.transport.getPeer())
    return upstream_host(stream)


def _upstream_local(stream: Any) -> str | None:
    connection = stream.upstream_connection
    return None if connection is None else _twisted(connection.transport.getHost())


def _twisted(address: Any) -> str | None:
    """An address of Twisted's; None for that of a Unix socket."""
    if not hasattr(address, "port"):
        return None
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"


def _attempted(of: _Text) -> _Text:
    """What `of` tells of the host to which the request was sent, the last one if there were several: in Envoy 1.40,
    too, a retry forgets those before it."""

    def last(stream: Any) -> str | None:
        return None if stream.upstream_connection is None else of(stream)

    return last


def _name_of(host: Any) -> str:
    name: str = host.endpoint.hostname or host.address_text
    return name


def _strip_port(text: str) -> str:
    return text.rpartition(":")[0].strip("[]") or text


def _port(of: _Text) -> Operator:
    def number(stream: Any) -> int | None:
        port = (of(stream) or "").rpartition(":")[2]
        return int(port) if port.isdigit() else None

    return number


def _bare(of: _Text) -> _Text:
    def host(stream: Any) -> str | None:
        text = of(stream)
        return text and _strip_port(text)

    return host


def _without_port(of: _Text) -> Spec:
    """With an argument, a prefix length: the network that the address is in (`127.0.0.0/16`)."""

    def build(argument: str, clocks: Clocks) -> Operator:
        bare = _bare(of)
        if not argument.isdigit():
            return bare
        length = int(argument)

        def masked(stream: Any) -> str | None:
            text = bare(stream)
            try:
                address = ipaddress.ip_address(text or "")
            except ValueError:
                return text
            return str(ipaddress.ip_network((address, min(length, address.max_prefixlen)), strict=False))

        return masked

    return Spec(build, required=False, length=False)


def _unique(number: int) -> int:
    """Among all workers."""
    return os.getpid() << 32 | number


def _connection_id(stream: Any) -> int:
    return _unique(stream.connection.number)


def _upstream_connection_id(stream: Any) -> int:
    connection = stream.upstream_connection
    return 0 if connection is None else _unique(connection.number)


def _closed(stream: Any) -> str | None:
    return None if stream.host is None else "Normal"


_ADDRESSES: dict[str, _Text] = {
    "DOWNSTREAM_REMOTE": _remote,
    "DOWNSTREAM_DIRECT_REMOTE": _direct_remote,
    "DOWNSTREAM_LOCAL": _local,
    "DOWNSTREAM_DIRECT_LOCAL": _local,
    "UPSTREAM_REMOTE": _upstream_remote,
    "UPSTREAM_LOCAL": _upstream_local,
}


def _none(stream: Any) -> None:
    return None


def _empty(stream: Any) -> str:
    return ""


SIMPLE: dict[str, Operator] = {
    **{f"{name}_ADDRESS": of for name, of in _ADDRESSES.items()},
    **{f"{name}_PORT": _port(of) for name, of in _ADDRESSES.items()},
    "UPSTREAM_HOST": upstream_host,
    "UPSTREAM_HOST_NAME": _upstream_host_name,
    "UPSTREAM_HOST_NAME_WITHOUT_PORT": _bare(_upstream_host_name),
    "UPSTREAM_HOSTS_ATTEMPTED": _attempted(upstream_host),
    "UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT": _attempted(_bare(upstream_host)),
    "UPSTREAM_HOST_NAMES_ATTEMPTED": _attempted(_upstream_host_name),
    "UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT": _attempted(_bare(_upstream_host_name)),
    "UPSTREAM_CONNECTION_IDS_ATTEMPTED": _attempted(lambda s: str(_upstream_connection_id(s))),
    "UPSTREAM_CONNECTION_ID": _upstream_connection_id,
    "CONNECTION_ID": _connection_id,
    # Only QUIC, listeners inside the proxy and the kernel's TCP statistics could say more.
    "DOWNSTREAM_DETECTED_CLOSE_TYPE": lambda s: "Normal",
    "UPSTREAM_DETECTED_CLOSE_TYPE": _closed,
    "DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID": _empty,
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID": _empty,
    "UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID": lambda s: None if s.upstream_connection is None else "",
    "DOWNSTREAM_CX_RTT": lambda s: 0,
    "BYTES_RETRANSMITTED": lambda s: 0,
    "PACKETS_RETRANSMITTED": lambda s: 0,
    **dict.fromkeys(
        (
            "DOWNSTREAM_HANDSHAKE_DURATION",
            "DOWNSTREAM_LOCAL_CLOSE_REASON",
            "DOWNSTREAM_LOCAL_DNS_SAN",
            "DOWNSTREAM_LOCAL_EMAIL_SAN",
            "DOWNSTREAM_LOCAL_IP_SAN",
            "DOWNSTREAM_LOCAL_OTHERNAME_SAN",
            "DOWNSTREAM_LOCAL_SUBJECT",
            "DOWNSTREAM_LOCAL_URI_SAN",
            "DOWNSTREAM_PEER_CERT",
            "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1",
            "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256",
            "DOWNSTREAM_PEER_CHAIN_SERIALS",
            "DOWNSTREAM_PEER_DNS_SAN",
            "DOWNSTREAM_PEER_EMAIL_SAN",
            "DOWNSTREAM_PEER_FINGERPRINT_1",
            "DOWNSTREAM_PEER_FINGERPRINT_256",
            "DOWNSTREAM_PEER_IP_SAN",
            "DOWNSTREAM_PEER_ISSUER",
            "DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256",
            "DOWNSTREAM_PEER_ISSUER_SERIAL",
            "DOWNSTREAM_PEER_OTHERNAME_SAN",
            "DOWNSTREAM_PEER_SERIAL",
            "DOWNSTREAM_PEER_SUBJECT",
            "DOWNSTREAM_PEER_URI_SAN",
            "DOWNSTREAM_TLS_CIPHER",
            "DOWNSTREAM_TLS_GROUP",
            "DOWNSTREAM_TLS_SESSION_ID",
            "DOWNSTREAM_TLS_VERSION",
            "DOWNSTREAM_TRANSPORT_FAILURE_REASON",
            "TLS_JA3_FINGERPRINT",
            "TLS_JA4_FINGERPRINT",
            "UPSTREAM_LOCAL_CLOSE_REASON",
            "UPSTREAM_LOCAL_DNS_SAN",
            "UPSTREAM_LOCAL_IP_SAN",
            "UPSTREAM_LOCAL_URI_SAN",
            "UPSTREAM_PEER_CERT",
            "UPSTREAM_PEER_DNS_SAN",
            "UPSTREAM_PEER_IP_SAN",
            "UPSTREAM_PEER_ISSUER",
            "UPSTREAM_PEER_SUBJECT",
            "UPSTREAM_PEER_URI_SAN",
            "UPSTREAM_SERVER_NAME",
            "UPSTREAM_TLS_CIPHER",
            "UPSTREAM_TLS_GROUP",
            "UPSTREAM_TLS_SESSION_ID",
            "UPSTREAM_TLS_VERSION",
        ),
        _none,
    ),
}
WITH_ARGUMENT: dict[str, Spec] = {
    **{f"{name}_ADDRESS_WITHOUT_PORT": _without_port(of) for name, of in _ADDRESSES.items()},
}
