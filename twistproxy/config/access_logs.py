"""envoy.config.accesslog.v3 to `model.access_log`."""

from __future__ import annotations

from twistproxy.config.fields import Reader
from twistproxy.config.log_filters import build_log_filter
from twistproxy.config.log_format import build_format, build_old_format
from twistproxy.model.access_log import AccessLogOptions, AccessLogSettings, LogFormat

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
            entry.problem(f"the access logger {config.called} is not implemented", "typed_config")
            config.ignore_all()
            continue
        condition = entry.message("filter")
        chosen = None if condition is None else build_log_filter(condition)
        logs.append(AccessLogSettings(path, _format(config), chosen))
    return tuple(logs)


def build_log_options(manager: Reader) -> AccessLogOptions:
    """`access_log_options` of a connection manager, and the two fields that were there before it."""
    options = manager.message("access_log_options")
    old = [
        name for name in ("access_log_flush_interval", "flush_access_log_on_new_request") if manager.has(name)
    ]
    if options is None:
        return AccessLogOptions(
            manager.boolean("flush_access_log_on_new_request"),
            manager.duration("access_log_flush_interval", 0.0),
        )
    for name in old:
        manager.ignore(name)
        manager.problem(f"Only one of {name} or access_log_options can be specified.", name)
    return AccessLogOptions(
        options.boolean("flush_access_log_on_new_request"),
        options.duration("access_log_flush_interval", 0.0),
        options.boolean("flush_log_on_tunnel_successfully_established"),
    )


def _format(config: Reader) -> LogFormat | None:
    kind = config.oneof("access_log_format")
    if kind is None:
        return None
    if kind == "log_format":
        return build_format(config.message_or_empty("log_format"))
    return build_old_format(config, kind)
