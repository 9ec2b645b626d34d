"""The host_rewrite_specifier of envoy.config.route.v3.RouteAction to `model.route`."""

from __future__ import annotations

from twistproxy.config.fields import Reader
from twistproxy.config.values import regex_rewrite
from twistproxy.model.route import HostRewrite
from twistproxy.observe.access_log import Clocks, FormatError, compile_format


def build_host_rewrite(reader: Reader) -> HostRewrite | None:
    """None if the authority stays as it is."""
    kind = reader.oneof("host_rewrite_specifier")
    if kind is None:
        return None
    if kind == "auto_host_rewrite":
        return HostRewrite(auto=True) if reader.boolean(kind) else None
    if kind == "host_rewrite_path_regex":
        return HostRewrite(regex=regex_rewrite(reader.message_or_empty(kind)))
    text = reader.string(kind)
    if not text:
        return None
    if kind == "host_rewrite_literal":
        return HostRewrite(literal=text)
    if kind == "host_rewrite_header":
        return HostRewrite(header=text)
    check_format(reader, kind, text)
    return HostRewrite(format=text)


def check_format(reader: Reader, field: str, text: str) -> None:
    """Note a problem if a text with `%…%` operators is none."""
    try:
        compile_format(text, Clocks(float, float))
    except FormatError as error:
        reader.problem(str(error), field)
