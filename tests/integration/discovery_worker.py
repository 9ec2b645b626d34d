"""A worker as the discovery process sees it: the real link, and what it was told."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import Logger

from twistproxy.model.endpoint import EndpointNews, EndpointSet
from twistproxy.transport.discovery_link import DiscoveryLink

LOG = Logger(observer=lambda event: None)


class Worker:
    """A link, and the newest that it was told of each cluster."""

    def __init__(self, path: str) -> None:
        self.sets: dict[str, EndpointSet] = {}
        self.link = DiscoveryLink(reactor, path, self.told, LOG, lambda: 0.5)
        self.link.start()

    def told(self, news: EndpointNews) -> None:
        self.sets.update((found.cluster, found) for found in self.link.known())

    def has(self, cluster: str, *addresses: str) -> Callable[[], bool]:
        def check() -> bool:
            found = self.sets.get(cluster)
            return found is not None and sorted(str(e.address) for e in found.endpoints) == sorted(addresses)

        return check


async def eventually(check: Callable[[], bool], what: str = "") -> None:
    for _ in range(1000):
        if check():
            return
        await deferLater(reactor, 0.01)
    raise AssertionError(f"did not happen: {what or check}")
