"""GET requests to a Kubernetes API server with treq: one answer, or a stream of watch events."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import treq
from hyperlink import EncodedURL
from OpenSSL.crypto import FILETYPE_PEM
from OpenSSL.SSL import Connection
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    KeyPair,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from twistproxy.discovery.kubernetes_config import KubernetesAccess
from twistproxy.discovery.resolv_conf import is_ip

#: Seconds: to connect, and for one answer (a page of a list, or the head of a watch).
CONNECT_TIMEOUT = 10.0
ANSWER_TIMEOUT = 30.0

#: A line of a watch is one object, of up to 1.5 MiB (etcd's limit).
MAX_LINE = 16 * 1024 * 1024

_CERTIFICATES = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class ApiError(Exception):
    """The API server refused.  `code` is the HTTP status, or the code in a Status object."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code


class KubernetesClient:
    """Asks one API server.

    Files with certificates and tokens are read for each request: they are rotated.
    """

    def __init__(self, reactor: Any, access: KubernetesAccess) -> None:
        self._reactor = reactor
        self._access = access
        url = EncodedURL.from_text(access.url)
        self._host = url.host
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._secure = url.scheme == "https"
        self._prefix = "/".join(("", *url.path)).rstrip("/")
        self._pool = HTTPConnectionPool(reactor)

    async def get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """The object at a path such as `/api/v1/endpoints`.

        Raises `ApiError` for an error status and whatever Twisted raises for a failed connection.
        """

        async def ask() -> tuple[int, bytes]:
            response = await self._request(path, query)
            return response.code, await treq.content(response)

        status, body = await Deferred.fromCoroutine(ask()).addTimeout(ANSWER_TIMEOUT, self._reactor)
        return _object(status, body)

    async def watch(
        self, path: str, query: Mapping[str, str], on_event: Callable[[dict[str, Any]], None], limit: float
    ) -> None:
        """Calls `on_event` with each event of a watch until the server ends it, for `limit` seconds at most.

        Raises as `get` does, and whatever `on_event` raises.
        """
        response = await Deferred.fromCoroutine(self._request(path, query)).addTimeout(
            ANSWER_TIMEOUT, self._reactor
        )
        if response.code != 200:
            body = await Deferred.fromCoroutine(_content(response)).addTimeout(ANSWER_TIMEOUT, self._reactor)
            _object(response.code, body)
        lines = _Events(on_event)
        response.deliverBody(lines)
        await lines.done.addTimeout(limit, self._reactor)

    def close(self) -> Deferred[Any]:
        """Close idle connections."""
        closed: Deferred[Any] = self._pool.closeCachedConnections()
        return closed

    async def _request(self, path: str, query: Mapping[str, str]) -> Any:
        headers = {"Accept": "application/json", "Host": self._authority()}
        authorization = self._access.authorization()
        if authorization:
            headers["Authorization"] = authorization
        scheme = "https" if self._secure else "http"
        # The URL's host only names the connection in the pool.  treq takes no IPv6 address there.
        host = self._host.replace(":", "x")
        url = f"{scheme}://{host}:{self._port}{self._prefix}{path}?{urlencode(query)}"
        agent = Agent.usingEndpointFactory(self._reactor, _ToApiServer(self._endpoint()), self._pool)
        return await HTTPClient(agent).get(
            EncodedURL.from_text(url), headers=headers, allow_redirects=False, unbuffered=True
        )

    def _authority(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return host if self._port == (443 if self._secure else 80) else f"{host}:{self._port}"

    def _endpoint(self) -> Any:
        endpoint: Any = HostnameEndpoint(self._reactor, self._host, self._port, timeout=CONNECT_TIMEOUT)
        return wrapClientTLS(_tls(self._access, self._host), endpoint) if self._secure else endpoint


@implementer(IAgentEndpointFactory)
class _ToApiServer:
    def __init__(self, endpoint: Any) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: object) -> Any:
        return self._endpoint


def _tls(access: KubernetesAccess, host: str) -> Any:
    """How to begin TLS with the server.  Raises OSError and OpenSSL's errors."""
    name = access.server_name or host
    options: dict[str, Any] = {}
    if access.certificate is not None and access.key is not None:
        first, *chain = _certificates(access.certificate.read())
        options = {
            "certificate": first.original,
            "privateKey": KeyPair.load(access.key.read(), FILETYPE_PEM).original,
        }
        if chain:
            options["extraCertChain"] = [certificate.original for certificate in chain]
    if not access.verify:
        return _Unverified(name, CertificateOptions(verify=False, **options))
    trust = None
    if access.authority is not None:
        trust = trustRootFromCertificates(_certificates(access.authority.read()))
    return optionsForClientTLS(name, trustRoot=trust, extraCertificateOptions=options)


def _certificates(pem: bytes) -> list[Certificate]:
    found = [Certificate.loadPEM(one) for one in _CERTIFICATES.findall(pem)]
    if not found:
        raise ValueError("no certificate in PEM data")
    return found


@implementer(IOpenSSLClientConnectionCreator)
class _Unverified:
    """TLS with whoever answers: kubeconfig's insecure-skip-tls-verify."""

    def __init__(self, name: str, options: CertificateOptions) -> None:
        self._name = name
        self._context = options.getContext()

    def clientConnectionForTLS(self, protocol: object) -> Connection:
        connection = Connection(self._context, None)
        if not is_ip(self._name):
            connection.set_tlsext_host_name(self._name.encode("idna"))
        return connection


class _Events(Protocol):
    """A watch's body: an object in each line."""

    def __init__(self, on_event: Callable[[dict[str, Any]], None]) -> None:
        self._on_event = on_event
        self._rest = b""
        self._over = False
        self.done: Deferred[None] = Deferred(lambda _: self._end())

    def dataReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        try:
            if len(self._rest) > MAX_LINE:
                raise ApiError(0, "an endless line in a watch")
            for line in lines:
                if line.strip() and not self._over:
                    self._on_event(_object(200, line))
        except Exception:
            if not self._over:
                self._end()
                self.done.errback(Failure())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._over:
            self._over = True
            if reason.check(ResponseDone):
                self.done.callback(None)
            else:
                self.done.errback(reason)

    def _end(self) -> None:
        """Hear no more: the answer has no other end."""
        self._over = True
        transport: Any = self.transport
        if transport is not None:
            transport.loseConnection()


async def _content(response: Any) -> bytes:
    return bytes(await treq.content(response))


def _object(status: int, body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not 200 <= status < 300:
        # An error is a Status object, or whatever stands between us and the API server says.
        message = found.get("message") if isinstance(found, dict) else body[:200].decode("utf-8", "replace")
        raise ApiError(status, str(message).strip())
    if not isinstance(found, dict):
        raise ApiError(status, "the answer is not an object")
    return found
