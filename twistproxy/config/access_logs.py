"""envoy.config.accesslog.v3 to `model.access_log`."""

from __future__ import annotations

from twistproxy.config.fields import Reader
from twistproxy.model.access_log import AccessLogSettings
from twistproxy.observe.access_log import Clocks, FormatError, compile_format

_FILE = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
_STREAMS = {
    "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog": "/dev/stdout",
    "envoy.extensions.access_loggers.stream.v3.StderrAccessLog": "/dev/stderr",
}


def build_access_logs(owner: Reader) -> tuple[AccessLogSettings, ...]:
    """The `access_log` field of a connection manager or of admin."""
    logs = []
    for entry in owner.messages("access_log"):
        entry.ignore("name")
        config = entry.unpack("typed_config")
        if config is None:
            continue
        if config.type_name == _FILE:
            path = config.string("path")
        elif config.type_name in _STREAMS:
            path = _STREAMS[config.type_name]
        else:
            entry.problem(f"the access logger {config.type_name} is not implemented", "typed_config")
            continue
        logs.append(AccessLogSettings(path, _format(config)))
    return tuple(logs)


def _format(config: Reader) -> str | None:
    kind = config.oneof("access_log_format")
    if kind is None:
        return None
    if kind == "format":
        field, text = "format", config.string("format")
        reader = config
    elif kind == "log_format":
        reader = config.message_or_empty("log_format")
        field = reader.oneof("format") or ""
        if field == "text_format":
            text = reader.string("text_format")
        elif field == "text_format_source":
            source = reader.message_or_empty("text_format_source")
            text = source.string("inline_string")
            if source.oneof("specifier") != "inline_string":
                reader.problem("only inline_string is implemented", field)
        else:
            return None  # whatever is set was not read, and is reported as such
    else:
        return None
    try:
        compile_format(text, Clocks(float, float))
    except FormatError as error:
        reader.problem(str(error), field)
    return text
