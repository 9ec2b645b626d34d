"""The operators of access log formats (Envoy: docs/root/configuration/observability/access_log/usage).

Each is a function from a stream (`stream.Stream`) to a value, at the stream's end or, in header rules, while it runs.
The families are in modules of their own: `log_fields`, `log_times`, `log_addresses`, `log_metadata`,
`log_wire_bytes`.
"""

from __future__ import annotations

import json
import os
import platform
import uuid
from collections.abc import Mapping
from typing import Any

from twistproxy.observe import log_addresses, log_fields, log_metadata, log_times, log_wire_bytes
from twistproxy.observe.flags import flag_text, long_flag_text
from twistproxy.observe.log_reason import reason
from twistproxy.observe.log_syntax import Clocks, FormatError, Operator, Spec, limited

#: Operators that only some formats have, by name.
Extra = Mapping[str, Spec]
NO_EXTRA: Extra = {}


def operator(
    name: str, argument: str | None, limit: int | None, clocks: Clocks, extra: Extra = NO_EXTRA
) -> Operator:
    """The operator `%name(argument):limit%`.  Raises FormatError if there is none, or not in that form."""
    simple = _SIMPLE.get(name)
    if simple is not None and name not in extra:
        if argument or limit is not None:
            raise FormatError(f"{name} does not take any parameters or length")
        return simple
    spec = extra.get(name) or _WITH_ARGUMENT.get(name)
    if spec is None:
        raise FormatError(f"Not supported field in StreamInfo: {name}")
    if spec.required and not argument:
        raise FormatError(f"{name} requires parameters")
    if limit is not None and not spec.length:
        raise FormatError(f"{name} does not allow length to be specified.")
    of = spec.build(argument or "", clocks)
    return of if limit is None else limited(of, limit)


def _details(argument: str, clocks: Clocks) -> Operator:
    if argument == "ALLOW_WHITESPACES":
        return lambda stream: stream.details or None
    return lambda stream: stream.details.replace(" ", "_") or None


def _environment(argument: str, clocks: Clocks) -> Operator:
    return _constant(os.environ.get(argument, "-"))


def _coalesce(argument: str, clocks: Clocks) -> Operator:
    """`%COALESCE({"operators": [...]})%`: the first of several operators that has a value."""
    try:
        config = json.loads(argument)
    except ValueError as error:
        raise FormatError(f"COALESCE: failed to parse JSON configuration: {error}") from None
    operators = config.get("operators") if isinstance(config, dict) else None
    if not isinstance(operators, list):
        raise FormatError("COALESCE: JSON configuration must contain 'operators' array")
    if not operators:
        raise FormatError("COALESCE: 'operators' array must not be empty")
    choices = []
    for at, entry in enumerate(operators):
        try:
            choices.append(_choice(entry, clocks))
        except FormatError as error:
            raise FormatError(f"COALESCE: failed to parse operator at index {at}: {error}") from None

    def of(stream: Any) -> Any:
        for choice in choices:
            value = choice(stream)
            if value is not None and value != "":
                return value
        return None

    return of


def _choice(entry: object, clocks: Clocks) -> Operator:
    if isinstance(entry, str):
        entry = {"command": entry}
    if not isinstance(entry, dict):
        raise FormatError(
            "operator entry must be either a string (command name) or an object with 'command' field"
        )
    command, argument, limit = entry.get("command"), entry.get("param", ""), entry.get("max_length")
    if not isinstance(command, str):
        raise FormatError("operator object must have 'command' field")
    if not isinstance(argument, str):
        raise FormatError("'param' field must be a string")
    if limit is not None and (not isinstance(limit, int) or limit <= 0):
        raise FormatError("'max_length' must be a positive integer")
    if command not in _SIMPLE and command not in _WITH_ARGUMENT:
        raise FormatError(f"unknown command: '{command}'")
    return operator(command, argument, limit, clocks)


def _constant(value: str | None) -> Operator:
    return lambda stream: value


_WITH_ARGUMENT: dict[str, Spec] = {
    **log_fields.WITH_ARGUMENT,
    **log_times.WITH_ARGUMENT,
    **log_addresses.WITH_ARGUMENT,
    **log_metadata.WITH_ARGUMENT,
    **log_wire_bytes.WITH_ARGUMENT,
    "COALESCE": Spec(_coalesce),
    "ENVIRONMENT": Spec(_environment),
    "RESPONSE_CODE_DETAILS": Spec(_details, required=False, length=False),
}

_SIMPLE: dict[str, Operator] = {
    **log_fields.SIMPLE,
    **log_times.SIMPLE,
    **log_addresses.SIMPLE,
    "ACCESS_LOG_TYPE": lambda s: s.log_type(),
    "PROTOCOL": lambda s: s.protocol(),
    "RESPONSE_CODE": lambda s: 0 if s.response is None else s.response.status,
    "CONNECTION_TERMINATION_DETAILS": _constant(None),
    "RESPONSE_FLAGS": lambda s: flag_text(s.flags),
    "RESPONSE_FLAGS_LONG": lambda s: long_flag_text(s.flags),
    "BYTES_RECEIVED": lambda s: s.bytes_received,
    "BYTES_SENT": lambda s: s.bytes_sent,
    "UPSTREAM_CLUSTER": lambda s: s.cluster or None,
    "UPSTREAM_CLUSTER_RAW": lambda s: s.cluster or None,
    "UPSTREAM_PROTOCOL": lambda s: None if s.upstream_connection is None else "HTTP/1.1",
    "UPSTREAM_REQUEST_ATTEMPT_COUNT": lambda s: s.attempts,
    "UPSTREAM_TRANSPORT_FAILURE_REASON": lambda s: s.failure.replace(" ", "_") or None,
    "FILTER_CHAIN_NAME": lambda s: s.context.settings.filter_chain_name or None,
    "ROUTE_NAME": lambda s: None if s.route is None else s.route.name or None,
    "HOSTNAME": _constant(platform.node() or "-"),
    "UNIQUE_ID": lambda s: str(uuid.uuid4()),
    "REASON": reason,
    "CUSTOM_FLAGS": _constant(""),
    "LOCAL_REPLY_BODY": _constant(""),
    # No request is traced.
    "TRACE_ID": _constant(None),
    "SPAN_ID": _constant(None),
    "VIRTUAL_CLUSTER_NAME": lambda s: None if s.counts is None else s.counts.virtual_cluster or None,
}
