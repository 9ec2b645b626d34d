"""The server side of Envoy's v1 SDS REST API, on twisted.web.

GET /v1/registration/<service>   200 with the service's hosts (`registration`), an empty list if there is
no such
                                 service; 400 with the reason for a name that cannot be one; 503 while
                                 nothing is known yet, so that clients keep what they have
GET /healthz                     200 "ok", 503 while nothing is known yet
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from twistproxy.discovery.registration import render_registration
from twistproxy.discovery.registry import BadServiceName, Registry

_TEXT = b"text/plain; charset=utf-8"
_NOT_READY = (http.SERVICE_UNAVAILABLE, _TEXT, b"the services are not known yet\n")

_NOT_ALLOWED = (http.NOT_ALLOWED, _TEXT, b"only GET\n")

#: Status, content type, body.
Answer = tuple[int, bytes, bytes]


class SdsResource(Resource):
    """All paths of the server."""

    isLeaf = True

    def __init__(self, registry: Registry, log: Logger) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._registry = registry
        self._log = log

    def render(self, request: Request) -> bytes:
        status, kind, body = self._answer(request)
        request.setResponseCode(status)
        request.setHeader(b"content-type", kind)
        request.setHeader(b"content-length", str(len(body)).encode())
        if status == http.NOT_ALLOWED:
            request.setHeader(b"allow", b"GET, HEAD")
        return b"" if request.method == b"HEAD" else body

    def _answer(self, request: Request) -> Answer:
        path = [segment.decode("utf-8", "replace") for segment in request.postpath or ()]
        readable = request.method in (b"GET", b"HEAD")
        match path:
            case ["healthz"]:
                return self._health() if readable else _NOT_ALLOWED
            case ["v1", "registration", *names]:
                return self._registration(request, names) if readable else _NOT_ALLOWED
        return http.NOT_FOUND, _TEXT, b"not found\n"

    def _registration(self, request: Request, names: list[str]) -> Answer:
        try:
            if len(names) != 1 or not names[0]:
                raise BadServiceName("the path must be /v1/registration/<service>")
            hosts = self._registry.hosts(names[0])
        except BadServiceName as e:
            self._log.warn("refused {uri}: {reason}", uri=request.uri.decode("latin-1"), reason=str(e))
            return http.BAD_REQUEST, _TEXT, f"{e}\n".encode()
        if not self._registry.ready:
            return _NOT_READY
        return http.OK, b"application/json", render_registration(hosts)

    def _health(self) -> Answer:
        return (http.OK, _TEXT, b"ok\n") if self._registry.ready else _NOT_READY


class QuietSite(Site):
    """Logs no requests: every Envoy asks every few seconds."""

    noisy = False

    def log(self, request: Any) -> None:
        pass


def make_site(registry: Registry, log: Logger) -> Site:
    """The whole server as a factory of HTTP connections."""
    return QuietSite(SdsResource(registry, log))  # type: ignore[no-untyped-call]
