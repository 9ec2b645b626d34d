"""The Proxy-Status header of answers that something went wrong for (RFC 9209; Envoy: StreamInfo::ProxyStatusUtils)."""

from __future__ import annotations

from twistproxy.http.message import ResponseHead
from twistproxy.model.http_manager import ProxyStatusSettings
from twistproxy.observe import flags

#: The first that is set names the error.
_ERRORS = (
    (flags.LH, b"destination_unavailable"),
    (flags.UH, b"destination_unavailable"),
    (flags.UT, b"http_response_timeout"),
    (flags.LR, b"connection_timeout"),
    (flags.UR, b"connection_terminated"),
    (flags.UF, b"connection_refused"),
    (flags.UC, b"connection_terminated"),
    (flags.UO, b"connection_limit_reached"),
    (flags.NR, b"destination_not_found"),
    (flags.RL, b"connection_limit_reached"),
    (flags.RLSE, b"connection_limit_reached"),
    (flags.URX, b"destination_unavailable"),
    (flags.SI, b"http_response_timeout"),
    (flags.IH, b"http_request_error"),
    (flags.UMSDR, b"http_response_timeout"),
    (flags.NFCF, b"proxy_configuration_error"),
    (flags.UPE, b"http_protocol_error"),
    (flags.NC, b"destination_unavailable"),
    (flags.DF, b"dns_error"),
)
#: Statuses that RFC 9209 section 2.3 recommends for these errors.
_RECOMMENDED = {
    b"connection_limit_reached": 503,
    b"connection_refused": 502,
    b"connection_terminated": 502,
    b"connection_timeout": 504,
    b"destination_not_found": 500,
    b"destination_unavailable": 503,
    b"dns_error": 502,
    b"http_protocol_error": 502,
    b"http_response_timeout": 504,
    b"proxy_configuration_error": 500,
}
_ANY = sum(flag for flag, _ in _ERRORS)


class ProxyStatus:
    """The rules of one connection manager."""

    __slots__ = ("_settings",)

    def __init__(self, settings: ProxyStatusSettings) -> None:
        self._settings = settings

    def apply(self, head: ResponseHead, response_flags: int, details: str) -> None:
        """Add the header to `head` if the response flags say that something is wrong."""
        if not response_flags & _ANY:
            return
        settings = self._settings
        error = next(error for flag, error in _ERRORS if response_flags & flag)
        value = settings.name + b"; error=" + error
        if settings.details and details:
            if settings.flags:
                details += "; " + flags.flag_text(response_flags)
            value += b'; details="' + details.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'
        before = head.get(b"proxy-status")
        head.set(b"proxy-status", before + b", " + value if before else value)
        if settings.recommended_status:
            head.status = _RECOMMENDED.get(error, head.status)
