"""Client connections of which is known that they have come to different workers."""

from __future__ import annotations

from .harness import Proxy
from .wire import Client, request_bytes

#: Two workers are both met by so many connections, but for once in a million times.
TRIES = 20


def clients_of_each(
    proxy: Proxy, count: int = 1, name: str = "main", path: str = "/", origin: str = "app"
) -> list[list[Client]]:
    """For each worker so many client connections that it has.

    Workers share no connections to upstreams, and one worker uses its own again: so the one on which a request for
    `path` arrives at `origin`, a cluster of one host that answers at once, tells which worker the client has.
    """
    if proxy.concurrency == 1:
        return [[proxy.client(name) for _ in range(count)]]
    found: dict[int, list[Client]] = {}
    for _ in range(TRIES * count):
        client = proxy.client(name)
        assert client.send(request_bytes(path)).read().status == 200
        of_worker = found.setdefault(proxy.origin(origin).take().connection, [])
        of_worker.append(client) if len(of_worker) < count else client.close()
        if [len(clients) for clients in found.values()] == [count] * proxy.concurrency:
            return list(found.values())
    raise AssertionError(f"connections of {len(found)} workers")


def client_of_each(proxy: Proxy, name: str = "main", path: str = "/", origin: str = "app") -> list[Client]:
    """One client connection for each worker."""
    return [client for (client,) in clients_of_each(proxy, 1, name, path, origin)]
