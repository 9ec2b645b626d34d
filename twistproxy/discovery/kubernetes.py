"""Services from a Kubernetes API server: a list of all EndpointSlices, kept up to date by watching.

Where these are not to be had, because the server is older than Kubernetes 1.21 or the account may not read them, it
is the core/v1 Endpoints, which later versions call deprecated; each new list asks for slices first.  So an answer
costs no request to the API server, and while that is away the answers are what it said last.
kubernetes.io/docs/reference/using-api/api-concepts, "Efficient detection of changes": a watch that ends is
resumed at the last version seen, which bookmarks move on; a version that is too old (410), or any other
error, means to list again, and the new list replaces everything at once.  The service account needs `list`
and `watch` on `endpointslices` of `discovery.k8s.io`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.discovery import kubernetes_slices
from twistproxy.discovery.kubernetes_client import ApiError
from twistproxy.discovery.kubernetes_endpoints import Subset, hosts_of, parse_service_name, parse_subsets
from twistproxy.discovery.kubernetes_slices import of_one_family, parse_slice
from twistproxy.discovery.source import Random
from twistproxy.model.endpoint import Endpoint
from twistproxy.primitives.backoff import Backoff

PAGE = "500"

#: Seconds after which a watch is renewed, and at random up to twice that.  It bounds how long a connection
#: that died without a sign goes unnoticed, and costs a request a minute.
WATCH_SECONDS = 60
#: More than that after the server should have ended a watch, it is dead.
GRACE = 10.0

#: Limits of the delay before the next attempt, in seconds.
FIRST_DELAY = 0.2
LONGEST_DELAY = 30.0

#: An older server does not have what was asked for (404), an account may not read it (403).
_NOT_THERE = (403, 404)

#: (namespace, name), of an object or a service
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Kind:
    """Objects that say what hosts a service has.

    read   (name of the service, its hosts) of an object; ValueError if it is none
    merge  the subsets of all objects of a service to those that count
    """

    path: str
    read: Callable[[dict[str, Any]], tuple[str, tuple[Subset, ...]]]
    merge: Callable[[Iterable[Subset]], tuple[Subset, ...]] = tuple


def _read_slice(item: dict[str, Any]) -> tuple[str, tuple[Subset, ...]]:
    service, subset = parse_slice(item)
    return service, (subset,)


SLICES = Kind(kubernetes_slices.PATH, _read_slice, of_one_family)
ENDPOINTS = Kind("/api/v1/endpoints", lambda item: (str(item["metadata"]["name"]), parse_subsets(item)))


class Objects:
    """The objects of a kind, by the services that they are of."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._service_of: dict[Key, Key] = {}
        self._services: dict[Key, dict[Key, tuple[Subset, ...]]] = {}

    def __len__(self) -> int:
        return len(self._services)

    def put(self, item: dict[str, Any]) -> None:
        """There is this object now.  Raises `ApiError` if it is none of the kind."""
        try:
            key = _key(item)
            service, subsets = self.kind.read(item)
        except (KeyError, TypeError, ValueError) as e:
            raise ApiError(0, f"an item that is not what was asked for: {e!r}") from None
        self.remove(item)
        if service:
            self._service_of[key] = (key[0], service)
            self._services.setdefault((key[0], service), {})[key] = subsets

    def remove(self, item: dict[str, Any]) -> None:
        """It is gone."""
        try:
            key = _key(item)
        except (KeyError, TypeError) as e:
            raise ApiError(0, f"an item without a name: {e!r}") from None
        service = self._service_of.pop(key, None)
        if service is not None:
            of_service = self._services[service]
            del of_service[key]
            if not of_service:
                del self._services[service]

    def subsets(self, service: Key) -> tuple[Subset, ...]:
        """What the hosts of a service are, in the order of the objects' names."""
        objects = self._services.get(service, {})
        return self.kind.merge(subset for key in sorted(objects) for subset in objects[key])


def _key(item: dict[str, Any]) -> Key:
    metadata = item["metadata"]
    return str(metadata["namespace"]), str(metadata["name"])


class Client(Protocol):
    """`kubernetes_client.KubernetesClient`, or a test's."""

    async def get(self, path: str, query: dict[str, str]) -> dict[str, Any]: ...

    async def watch(self, path: str, query: dict[str, str], on_event: Any, limit: float) -> None: ...

    def close(self) -> Deferred[Any]: ...


class KubernetesRegistry(Service):
    """A `Registry` of the services of a Kubernetes cluster, by the names in `kubernetes_endpoints`."""

    def __init__(
        self, reactor: Any, client: Client, cluster_domain: str, random: Random, log: Logger
    ) -> None:
        self._reactor = reactor
        self._client = client
        self._cluster_domain = cluster_domain.strip(".")
        self._random = random
        self._log = log
        self._backoff = Backoff(FIRST_DELAY, LONGEST_DELAY, random)
        self._objects = Objects(SLICES)
        self._version = ""
        self._problem = ""
        self._task: Deferred[None] | None = None
        self.ready = False

    def hosts(self, service: str) -> tuple[Endpoint, ...]:
        """See `Registry`.  `BadServiceName` for what is not service.namespace.<cluster domain>."""
        name = parse_service_name(service, self._cluster_domain)
        return hosts_of(self._objects.subsets((name.namespace, name.service)), name)

    def startService(self) -> None:
        """List and watch from now on."""
        super().startService()  # type: ignore[no-untyped-call]
        self._task = Deferred.fromCoroutine(self._follow())
        self._task.addErrback(self._ended)

    def stopService(self) -> Deferred[Any]:
        """Watch no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._task is not None:
            self._task.cancel()
            self._task = None
        return self._client.close()

    async def _follow(self) -> None:
        while True:
            try:
                if not self._version:
                    self._version = await self._list()
                await self._watch()
            except CancelledError:
                raise
            except ApiError as e:
                self._version = ""
                # 410 is how the server says that a watch has fallen too far behind: no trouble.
                if e.code != 410:
                    self._trouble(str(e))
            except Exception as e:
                if not self.running:
                    return  # what a request that was cancelled ends with is up to those it went through
                self._trouble(_describe(e))
            await deferLater(self._reactor, self._backoff.next())

    async def _list(self) -> str:
        """Replaces everything; returns the list's version."""
        try:
            version, objects = await self._list_of(SLICES)
        except ApiError as e:
            if e.code not in _NOT_THERE:
                raise
            try:
                version, objects = await self._list_of(ENDPOINTS)
            except ApiError:
                raise e from None
            if self._objects.kind is SLICES:
                self._log.info(
                    "Kubernetes: no endpoint slices ({reason}), endpoints in their place", reason=str(e)
                )
        self._objects = objects
        if not self.ready or self._problem:
            self._log.info("Kubernetes: {count} services", count=len(objects))
        self.ready = True
        self._problem = ""
        return version

    async def _list_of(self, kind: Kind) -> tuple[str, Objects]:
        objects = Objects(kind)
        query = {"limit": PAGE}
        while True:
            page = await self._client.get(kind.path, query)
            metadata = page.get("metadata") or {}
            for item in page.get("items") or ():
                objects.put(item)
            if not metadata.get("continue"):
                return str(metadata.get("resourceVersion", "")), objects
            query = {"limit": PAGE, "continue": metadata["continue"]}

    async def _watch(self) -> None:
        """Follows changes until the watch ends.  Raises `ApiError` when it takes a new list."""
        seconds = WATCH_SECONDS + int(self._random() * WATCH_SECONDS)
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(seconds),
        }
        started = self._reactor.seconds()
        await self._client.watch(self._objects.kind.path, query, self._event, seconds + GRACE)
        if self._reactor.seconds() - started >= WATCH_SECONDS / 2:
            self._backoff.reset()

    def _event(self, event: dict[str, Any]) -> None:
        kind, item = event.get("type"), event.get("object")
        if not isinstance(item, dict):
            raise ApiError(0, f"an event without an object: {kind!r}")
        if kind == "ERROR":
            raise ApiError(int(item.get("code") or 0), str(item.get("message") or item.get("reason")))
        if kind in ("ADDED", "MODIFIED"):
            self._objects.put(item)
        elif kind == "DELETED":
            self._objects.remove(item)
        # A BOOKMARK, or an event that a later version adds, has but its version.
        self._version = str((item.get("metadata") or {}).get("resourceVersion") or self._version)
        self._backoff.reset()
        if self._problem:
            self._log.info("Kubernetes: watching again")
            self._problem = ""

    def _trouble(self, reason: str) -> None:
        if reason != self._problem:
            self._problem = reason
            self._log.warn("Kubernetes: {reason}; the services stay as they are", reason=reason)

    def _ended(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("Kubernetes: no longer followed", failure)


def _describe(error: Exception) -> str:
    """A failed request in words.  Twisted wraps what happened on a connection in lists of Failures."""
    reasons = getattr(error, "reasons", None)
    if reasons:
        return _describe(reasons[0].value)
    return str(error) or type(error).__name__
