"""Operators that count bytes on the wire.  They make the streams be measured that are begun from then on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twistproxy.observe.log_syntax import Clocks, FormatError, Operator, Spec

_MEASURES = {
    "WIRE_BYTES_RECEIVED": "received",
    "WIRE_BYTES_SENT": "sent",
    "HEADER_BYTES_RECEIVED": "header_received",
    "HEADER_BYTES_SENT": "header_sent",
    # Nothing compresses headers in HTTP/1.
    "DECOMPRESSED_HEADER_BYTES_RECEIVED": "header_received",
    "DECOMPRESSED_HEADER_BYTES_SENT": "header_sent",
}


def _downstream(stream: Any) -> Any:
    return stream.connection.codec.meter


def _upstream(stream: Any) -> Any:
    return stream.upstream_meter


def _measured(name: str, meter_of: Callable[[Any], Any], measure: str) -> Spec:
    def of(stream: Any) -> int:
        meter = meter_of(stream)
        return 0 if meter is None else getattr(meter, measure)

    def build(argument: str, clocks: Clocks) -> Operator:
        if argument:
            raise FormatError(f"{name} does not take any parameters or length")
        clocks.metered = True
        return of

    return Spec(build, required=False, length=False)


WITH_ARGUMENT: dict[str, Spec] = {
    f"{side}_{name}": _measured(f"{side}_{name}", meter_of, measure)
    for side, meter_of in (("DOWNSTREAM", _downstream), ("UPSTREAM", _upstream))
    for name, measure in _MEASURES.items()
}
