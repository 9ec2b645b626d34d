"""Lines of the admin's access log, in Envoy's default format."""

from __future__ import annotations

from twisted.web.server import Request

from twistproxy.admin.config_dump import timestamp


def access_log_line(request: Request, started: float, ended: float) -> str:
    """The line of a finished request, with its newline; `started` and `ended` in seconds since the epoch."""

    def header(name: bytes) -> str:
        value = request.getHeader(name)
        return "-" if not value else value.decode("latin-1").replace('"', "%22")

    forwarded = request.getHeader(b"x-forwarded-for")
    client = (
        header(b"x-forwarded-for") if forwarded else str(getattr(request.getClientAddress(), "host", "-"))
    )
    received = request.getHeader(b"content-length") or b"0"
    duration = max(0, round((ended - started) * 1000))
    line = f"{request.method.decode('latin-1')} {request.uri.decode('latin-1')} HTTP/1.1"
    return (
        f'[{timestamp(started)}] "{line}" {request.code} - {received.decode("latin-1")} {request.sentLength}'
        f' {duration} - "{client}" "{header(b"user-agent")}" "{header(b"x-request-id")}"'
        f' "{header(b"host")}" "-"\n'
    )
