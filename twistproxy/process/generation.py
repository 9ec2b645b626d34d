"""A generation: one configuration that was loaded, and the sockets that it listens on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from twistproxy.errors import StartError
from twistproxy.model.address import TcpAddress
from twistproxy.model.listener import ListenAddress, ListenerSettings
from twistproxy.process.configuration import Configuration
from twistproxy.transport.listen_sockets import ListenSockets, ListenSpec


@dataclass(frozen=True, slots=True)
class Generation:
    """number: 1 at the start, one more for each reload.  taken: seconds since the epoch when it was taken
    into use."""

    number: int
    configuration: Configuration
    sockets: tuple[ListenSockets, ...]
    taken: float


def bind_listeners(
    listeners: Collection[ListenerSettings], slots: int, running: Collection[ListenSockets]
) -> tuple[ListenSockets, ...]:
    """The sockets of these listeners: those of `running` that stay as they are, and new ones for the others.

    StartError, with nothing changed, if one of them cannot be bound.
    """
    kept = {sockets.spec: sockets for sockets in running}
    ports = {s.address.port for s in running if isinstance(s.address, TcpAddress)}
    bound: list[ListenSockets] = []
    try:
        for listener in listeners:
            if not listener.bind_to_port:
                continue
            for spec in listen_specs(listener):
                sockets = kept.get(spec) or ListenSockets.bind(spec, slots, ports)
                bound.append(sockets)
                if isinstance(sockets.address, TcpAddress):
                    ports.add(sockets.address.port)
    except StartError:
        release(bound, kept.values())
        raise
    return tuple(bound)


def listen_specs(listener: ListenerSettings) -> list[ListenSpec]:
    """One for each of its addresses."""
    first = ListenAddress(listener.address, listener.ipv4_compat, listener.options)
    return [
        ListenSpec(
            listener.name, one.address, listener.reuse_port, listener.backlog, one.ipv4_compat, one.options
        )
        for one in (first, *listener.more_addresses)
    ]


def release(sockets: Collection[ListenSockets], keep: Collection[ListenSockets]) -> None:
    """Close those of `sockets` that are not in `keep`."""
    for one in sockets:
        if one not in keep:
            one.close()
