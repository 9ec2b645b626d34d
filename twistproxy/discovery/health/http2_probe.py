"""HTTP checks over HTTP/2 (`codec_client_type`): as `http_probe`, but for the connection."""

from __future__ import annotations

from twistproxy.api.transport import Connects
from twistproxy.codec.h2_calls import Fields
from twistproxy.discovery.health.h2_probe import H2Probe
from twistproxy.discovery.health.http_verdict import judge, kept
from twistproxy.discovery.health.probe import Results
from twistproxy.discovery.health.request_head import RequestHeads
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.model.address import Address
from twistproxy.model.health_check import HttpCheck


class Http2Probe(H2Probe):
    """See `h2_probe.H2Probe`."""

    __slots__ = ("_check", "_content", "_heads", "_response")

    def __init__(
        self,
        connector: Connects,
        address: Address,
        check: HttpCheck,
        heads: RequestHeads,
        connect_timeout: float,
        reuse: bool,
        results: Results,
    ) -> None:
        super().__init__(connector, address, connect_timeout, reuse, results)
        self._check = check
        self._heads = heads
        self._response = ResponseHead(0, [])
        self._content = b""

    def request(self) -> tuple[RequestHead, bytes]:
        self._content = b""
        return self._heads.make(), self._check.send

    def give_up(self) -> None:
        """As Envoy, which keeps the connection of a gRPC check only."""
        self.close()

    # ---- `CallSink`

    def call_head(self, fields: Fields, ended: bool) -> None:
        status = int(fields.pop(b":status"))
        self._response = ResponseHead(status, list(fields.items()), fields)
        if ended:
            self._complete()

    def call_data(self, data: bytes, ended: bool) -> None:
        self._content = kept(self._check, self._content, data)
        if ended:
            self._complete()

    def call_trailers(self, fields: Fields) -> None:
        self._complete()

    def _complete(self) -> None:
        self._over(True)
        judge(self._check, self._response, self._content, self._results)
