"""What a connection manager does with the heads of requests and responses: its fields to `model.http_manager`."""

from __future__ import annotations

from twistproxy.config.fields import Reader
from twistproxy.model.http_manager import SanitiseSettings

_ESCAPED_SLASHES = {
    "IMPLEMENTATION_SPECIFIC_DEFAULT": "",  # which is KEEP_UNCHANGED
    "KEEP_UNCHANGED": "",
    "REJECT_REQUEST": "reject",
    "UNESCAPE_AND_REDIRECT": "redirect",
    "UNESCAPE_AND_FORWARD": "forward",
}
_UNDERSCORES = {"ALLOW": "", "REJECT_REQUEST": "reject", "DROP_HEADER": "drop"}


def build_sanitise(reader: Reader) -> SanitiseSettings:
    """Paths and hosts made uniform.  `reader`: the connection manager."""
    matching, every = reader.boolean("strip_matching_host_port"), reader.boolean("strip_any_host_port")
    if matching and every:
        reader.problem(
            "Only one of `strip_matching_host_port` or `strip_any_host_port` can be set.",
            "strip_any_host_port",
        )
    return SanitiseSettings(
        normalise_path=reader.boolean("normalize_path"),
        merge_slashes=reader.boolean("merge_slashes"),
        escaped_slashes=_ESCAPED_SLASHES[reader.enum("path_with_escaped_slashes_action")],
        strip_port="any" if every else ("matching" if matching else ""),
        strip_trailing_dot=reader.boolean("strip_trailing_host_dot"),
    )


def underscores(common: Reader) -> str:
    """`Http1Settings.underscores`; `common`: common_http_protocol_options."""
    return _UNDERSCORES[common.enum("headers_with_underscores_action")]
