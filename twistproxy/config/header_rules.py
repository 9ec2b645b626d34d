"""The header rules of envoy.config.route.v3 to `model.header_rules`; the same four fields at every level."""

from __future__ import annotations

import json
import re

from twistproxy.config.fields import Reader
from twistproxy.model.header_rules import HeaderRules, HeaderToAdd, RuleLevel
from twistproxy.observe.access_log import Clocks, FormatError, compile_format

#: RFC 9110 section 5.6.2: token.
_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")

_OLD_METADATA = re.compile(r"%(UPSTREAM|DYNAMIC)_METADATA\((\[[^\]]*\])\)%")
_OLD_STATE = re.compile(r"%PER_REQUEST_STATE\(([^)]*)\)%")

#: They say where a message ends.  Envoy would write them as they are told, which lets one request be read as two.
_FRAMING = frozenset(("content-length", "transfer-encoding"))


def build_rule_level(reader: Reader) -> RuleLevel:
    """The rules of a RouteConfiguration, VirtualHost, Route or WeightedCluster.ClusterWeight."""
    return RuleLevel(
        HeaderRules(
            build_headers_to_add(reader, "request_headers_to_add"),
            build_names_to_remove(reader, "request_headers_to_remove"),
        ),
        HeaderRules(
            build_headers_to_add(reader, "response_headers_to_add"),
            build_names_to_remove(reader, "response_headers_to_remove"),
        ),
    )


def build_headers_to_add(owner: Reader, field: str) -> tuple[HeaderToAdd, ...]:
    """A repeated field of envoy.config.core.v3.HeaderValueOption."""
    return tuple(build_header_to_add(one) for one in owner.messages(field))


def build_header_to_add(option: Reader) -> HeaderToAdd:
    """envoy.config.core.v3.HeaderValueOption."""
    header = option.message_or_empty("header")
    name = header.string("key").lower()
    value = _of_today(header.string("value"))
    if name.startswith(":") or name == "host":
        header.problem(":-prefixed or host headers may not be modified", "key")
    elif not _NAME.fullmatch(name):
        header.problem(f"{name!r} cannot be written as the name of a header", "key")
    elif name in _FRAMING:
        header.problem(f"{name} frames the message, and no rule may set it", "key")
    try:
        compile_format(value, Clocks(float, float), missing="")
    except FormatError as error:
        header.problem(str(error), "value")
    action = option.enum("append_action")
    if option.has("append"):
        if action != "APPEND_IF_EXISTS_OR_ADD":
            option.problem("Both append and append_action are set and it's not allowed", "append")
        action = "APPEND_IF_EXISTS_OR_ADD" if option.boolean("append", True) else "OVERWRITE_IF_EXISTS_OR_ADD"
    return HeaderToAdd(name, value, action, option.boolean("keep_empty_value"))


def _of_today(value: str) -> str:
    """Old spellings of operators, which only header rules know, in those of today (Envoy: HeaderParser)."""
    value = _OLD_METADATA.sub(_metadata_path, value)
    return _OLD_STATE.sub(r"%FILTER_STATE(\1:PLAIN)%", value)


def _metadata_path(found: re.Match[str]) -> str:
    try:
        keys = json.loads(found[2])
    except (ValueError, RecursionError):
        return found[0]
    return f"%{found[1]}_METADATA({':'.join(map(str, keys))})%"


def build_names_to_remove(owner: Reader, field: str) -> tuple[str, ...]:
    """A repeated field of names of headers."""
    names = [name.lower() for name in owner.strings(field)]
    for at, name in enumerate(names):
        if name.startswith(":") or name == "host":
            owner.problem(":-prefixed or host headers may not be removed", f"{field}[{at}]")
    return tuple(names)
