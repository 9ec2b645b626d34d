"""envoy.config.route.v3.DirectResponseAction to `model.route`."""

from __future__ import annotations

from twistproxy.config.data_source import read_data_source
from twistproxy.config.fields import Reader
from twistproxy.config.log_format import build_format
from twistproxy.model.route import DirectResponse


def build_direct_response(reader: Reader, max_body: int) -> DirectResponse:
    """`max_body`: the size in bytes that a body may have."""
    source = reader.message("body")
    body = b"" if source is None else read_data_source(source)
    if len(body) > max_body:
        reader.problem(f"response body size is {len(body)} bytes; maximum is {max_body}", "body")
    form = reader.message("body_format")
    return DirectResponse(
        reader.integer("status", 200), body, None if form is None else build_format(form, local_reply=True)
    )
