"""envoy.config.accesslog.v3 to `model.access_log`."""

from __future__ import annotations

from twistproxy.config.fields import Reader
from twistproxy.config.log_format import build_format, build_old_format
from twistproxy.model.access_log import AccessLogSettings, LogFormat

_FILE = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
_STREAMS = {
    "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog": "/dev/stdout",
    "envoy.extensions.access_loggers.stream.v3.StderrAccessLog": "/dev/stderr",
}


def build_access_logs(owner: Reader, field: str = "access_log") -> tuple[AccessLogSettings, ...]:
    """The access logs of a connection manager or of admin."""
    logs = []
    for entry in owner.messages(field):
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
            config.ignore(*(each.name for each in config.raw.DESCRIPTOR.fields))
            continue
        logs.append(AccessLogSettings(path, _format(config)))
    return tuple(logs)


def _format(config: Reader) -> LogFormat | None:
    kind = config.oneof("access_log_format")
    if kind is None:
        return None
    if kind == "log_format":
        return build_format(config.message_or_empty("log_format"))
    return build_old_format(config, kind)
