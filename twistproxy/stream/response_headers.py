"""What the connection manager sets in a response's head (Envoy: ConnectionManagerUtility::mutateResponseHeaders)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twistproxy.http.date import DateText
from twistproxy.http.known_headers import SINGLE_RESPONSE
from twistproxy.http.message import RequestHead, ResponseHead, append_via
from twistproxy.model.http_manager import HttpManagerSettings
from twistproxy.stream.fields import FORCE_TRACE, REQUEST_ID
from twistproxy.stream.proxy_status import ProxyStatus

_DATE = b"date"
_SERVER = b"server"


class Exchange(Protocol):
    """What a response belongs to: the request's head, what went wrong, and why."""

    head: RequestHead
    flags: int
    details: str


class ResponseHeaders:
    """The rules of one connection manager.  `apply` changes a head in place."""

    __slots__ = (
        "_date",
        "_more",
        "_overwrite",
        "_pass_through",
        "_proxy_status",
        "_request_id",
        "_server",
        "_via",
        "_wall",
    )

    def __init__(self, settings: HttpManagerSettings, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._date = DateText()
        self._server = settings.server_name
        self._overwrite = settings.server_header == "OVERWRITE"
        self._pass_through = settings.server_header == "PASS_THROUGH"
        self._via = settings.via
        self._request_id = settings.always_set_request_id_in_response
        #: What few configurations have is looked at only where some of it is.
        self._proxy_status = None if settings.proxy_status is None else ProxyStatus(settings.proxy_status)
        self._more = (
            self._request_id
            or bool(self._via)
            or self._proxy_status is not None
            or bool(settings.internal_cidrs)
            or settings.internal_unix_sockets  # only internal clients may force traces
        )

    def apply(self, head: ResponseHead, exchange: Exchange) -> None:
        items = head.items
        index = head.index
        if len(items) != len(index):
            head.join(SINGLE_RESPONSE)
        if _DATE not in index:
            date = self._date.at(self._wall())
            items.append((_DATE, date))
            index[_DATE] = date
        if _SERVER not in index:
            if not self._pass_through:
                items.append((_SERVER, self._server))
                index[_SERVER] = self._server
        elif self._overwrite:
            head.set(_SERVER, self._server)
        if self._more:
            self._apply_more(head, exchange)

    def _apply_more(self, head: ResponseHead, exchange: Exchange) -> None:
        request = exchange.head
        if REQUEST_ID in request.index and (self._request_id or FORCE_TRACE in request.index):
            head.set(REQUEST_ID, request.index[REQUEST_ID])
        if self._via:
            append_via(head, self._via)
        if self._proxy_status is not None:
            self._proxy_status.apply(head, exchange.flags, exchange.details)
