"""envoy.config.core.v3.SubstitutionFormatString to `model.access_log.LogFormat`."""

from __future__ import annotations

from twistproxy.config.data_source import read_data_source
from twistproxy.config.fields import Reader
from twistproxy.model.access_log import LogFormat
from twistproxy.observe.access_log import Clocks, FormatError, compile_log_format

_FORMATTERS = "envoy.extensions.formatter."
_WITHOUT_QUERY = _FORMATTERS + "req_without_query.v3.ReqWithoutQuery"
_KNOWN = {_WITHOUT_QUERY, _FORMATTERS + "metadata.v3.Metadata"}  # %METADATA% is there without it


def build_format(reader: Reader, local_reply: bool = False) -> LogFormat | None:
    """The format, None if none is set or it cannot be used.  `local_reply`: for the body of one."""
    kind = reader.oneof("format")
    text = None
    if kind == "text_format":
        text = reader.string("text_format")
    elif kind == "text_format_source":
        text = read_data_source(reader.message_or_empty("text_format_source")).decode(
            "utf-8", "surrogateescape"
        )
    elif kind is None:
        reader.problem("a format is expected")
        return None
    reader.ignore("json_format_options")  # keys are always sorted, as Envoy has them
    form = LogFormat(
        text,
        reader.struct("json_format") if kind == "json_format" else None,
        reader.boolean("omit_empty_values"),
        reader.string("content_type").encode(),
        _WITHOUT_QUERY in _formatters(reader),
    )
    if not local_reply and form.content_type:
        reader.problem("is only for bodies of local replies", "content_type")
    return _checked(form, reader, kind)


def build_old_format(reader: Reader, kind: str) -> LogFormat | None:
    """The deprecated fields of a file access log: `format`, `json_format`, `typed_json_format`."""
    if kind == "format":
        text = reader.string("format")
        return _checked(LogFormat(text), reader, kind) if text else None
    return _checked(LogFormat(json=reader.struct(kind)), reader, kind)


def _checked(form: LogFormat, reader: Reader, field: str) -> LogFormat | None:
    try:
        compile_log_format(form, Clocks(float, float))
    except FormatError as error:
        reader.problem(str(error), field)
        return None
    return form


def _formatters(reader: Reader) -> set[str]:
    """The types of the formatters that are asked for."""
    types = set()
    for one in reader.messages("formatters"):
        one.ignore("name")
        config = one.unpack("typed_config")
        if config is None:
            continue
        types.add(config.type_name)
        if config.type_name not in _KNOWN:
            one.problem(f"the formatter {config.called} is not implemented", "typed_config")
            config.ignore_all()
    return types
