"""The admin pages as a twisted.web site.

    site = make_admin_site(view)          # listen on the admin address with it

See https://www.envoyproxy.io/docs/envoy/latest/operations/admin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request as HttpRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from twistproxy.admin.access_log import access_log_line
from twistproxy.admin.answer import HTML, PLAIN, SERVER_NAME, Answer, PageError, parse_query
from twistproxy.admin.channel import AdminChannel, AdminRequest, AdminStats
from twistproxy.admin.commands import BY_PATH, help_text
from twistproxy.admin.home import home_page
from twistproxy.admin.view import AdminView
from twistproxy.primitives.string_match import TextMatcher

_log = Logger()

#: Takes one finished line of an access log, with its newline.
LogWriter = Callable[[str], None]


class AdminResource(Resource):
    """All pages: Envoy looks a path up in a list, so there is no tree."""

    isLeaf = True

    def __init__(
        self,
        view: AdminView,
        stats: AdminStats,
        access_logs: Sequence[LogWriter] = (),
        allow_paths: Sequence[TextMatcher] = (),
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._view = view
        self._stats = stats
        self._access_logs = tuple(access_logs)
        self._allow_paths = tuple(allow_paths)

    def render(self, request: Request) -> int:
        """Answer now or later; never raises."""
        started, began = self._view.wall(), self._stats.now()
        self._stats.began()

        def ended(_: object) -> None:
            self._stats.ended(self._stats.now() - began)
            self._note(request, started)

        request.notifyFinish().addBoth(ended)
        if request.clientproto != b"HTTP/1.1":
            _refuse(request, 426, "Upgrade Required", "Upgrade Required")
            return NOT_DONE_YET
        if request.getHeader(b"host") is None:
            _refuse(request, 400, "Bad Request", "")
            return NOT_DONE_YET
        path = _path(request)
        answer = Deferred.fromCoroutine(self._answer(path, request))
        answer.addErrback(_failed)
        answer.addCallback(self._send, request, path)
        return NOT_DONE_YET

    async def _answer(self, path: str, request: Request) -> Answer:
        if self._allow_paths and not any(one.matches(request.uri) for one in self._allow_paths):
            return Answer(f"request to path {request.uri.decode('latin-1')} not allowed", 403)
        if not path:
            return Answer(home_page(), content_type=HTML)
        command = BY_PATH.get(path)
        if command is None:
            return Answer(f"invalid path. {help_text()}", 404)
        if command.mutating and request.method != b"POST":
            method = request.method.decode("latin-1")
            return Answer(f"Method {method} not allowed, POST required.", 405)
        result = command.handler(self._view, parse_query(_parameters(request), command.form))
        return await result if isinstance(result, Deferred) else result

    def _send(self, answer: Answer, request: Request, path: str) -> None:
        if not request._disconnected:
            request.setResponseCode(answer.status)
            _set_headers(request, answer.content_type)
            # Without a content-length the answer goes out chunked, as Envoy's does.
            if request.method == b"HEAD":
                request.setHeader(b"transfer-encoding", b"chunked")
            request.write(answer.body.encode())
            request.finish()
        if path == "quitquitquit" and answer.status == 200:
            self._view.quit()

    def _note(self, request: Request, started: float) -> None:
        for write in self._access_logs:
            write(access_log_line(request, started, self._view.wall()))


def _parameters(request: Request) -> str:
    """The query, or without one the form that was sent."""
    query = request.uri.partition(b"?")[2]
    if not query and request.getHeader(b"content-type") == b"application/x-www-form-urlencoded":
        assert request.content is not None
        query = request.content.read()
    return query.decode("latin-1")


def _path(request: Request) -> str:
    """The path without its leading slashes and its query; also of a target in absolute form (RFC 9112,
    3.2.2)."""
    path = request.uri.partition(b"?")[0].decode("latin-1")
    if path.startswith(("http://", "https://")):
        path = path.partition("://")[2].partition("/")[2]
    return path.lstrip("/")


def _failed(failure: Failure) -> Answer:
    """A refusal's own answer; anything else is a fault of ours, logged and answered with 500."""
    if failure.check(PageError) is not None:
        return cast(PageError, failure.value).answer
    _log.failure("An admin page failed", failure=failure)
    return Answer("internal error\n", 500, PLAIN)


def _set_headers(request: HttpRequest, content_type: str) -> None:
    request.setHeader(b"content-type", content_type.encode())
    request.setHeader(b"cache-control", b"no-cache, max-age=0")
    request.setHeader(b"x-content-type-options", b"nosniff")
    request.setHeader(b"server", SERVER_NAME.encode())


def _refuse(request: Request, status: int, reason: str, body: str) -> None:
    """Answer what the admin does not speak: it is HTTP/1.1 only, as Envoy's, and that has a host."""
    request.clientproto = b"HTTP/1.1"
    request.setResponseCode(status, reason.encode())
    request.setHeader(b"content-length", str(len(body)).encode())
    if body:
        request.setHeader(b"content-type", PLAIN.encode())
    request.setHeader(b"connection", b"close")
    request.setHeader(b"server", SERVER_NAME.encode())
    request.channel.persistent = False
    request.write(body.encode())
    request.finish()


def make_admin_site(
    view: AdminView,
    stats: AdminStats,
    reactor: Any = None,
    access_logs: Sequence[LogWriter] = (),
    allow_paths: Sequence[TextMatcher] = (),
) -> Site:
    """The factory to listen with on the admin address.

    view         the running server
    stats        counts the connections and requests
    reactor      for time-outs; None for the one that runs
    access_logs  each is called with every finished line
    allow_paths  one of them must match a path with its query; () for any
    """
    site: Any = Site(AdminResource(view, stats, access_logs, allow_paths), reactor=reactor)
    site.protocol = partial(AdminChannel, stats)
    site.requestFactory = AdminRequest
    site.displayTracebacks = False
    site.noisy = False
    return cast(Site, site)
