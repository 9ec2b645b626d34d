"""`local_reply_config` of a connection manager to `model.local_reply`."""

from __future__ import annotations

from twistproxy.config.data_source import read_data_source
from twistproxy.config.fields import Reader
from twistproxy.config.header_rules import build_headers_to_add
from twistproxy.config.log_filters import build_log_filter
from twistproxy.config.log_format import build_format
from twistproxy.model.header_rules import HeaderRules
from twistproxy.model.local_reply import LocalReplySettings, ResponseMapperSettings


def build_local_replies(manager: Reader) -> LocalReplySettings:
    reader = manager.message_or_empty("local_reply_config")
    mappers = [_mapper(one) for one in reader.messages("mappers")]
    form = reader.message("body_format")
    return LocalReplySettings(
        tuple(one for one in mappers if one is not None),
        None if form is None else build_format(form, local_reply=True),
    )


def _mapper(reader: Reader) -> ResponseMapperSettings | None:
    condition = reader.message("filter")
    chosen = None if condition is None else build_log_filter(condition)
    body = reader.message("body")
    form = reader.message("body_format_override")
    status = reader.integer("status_code")
    headers = HeaderRules(build_headers_to_add(reader, "headers_to_add"))
    text = None if body is None else read_data_source(body)
    made = None if form is None else build_format(form, local_reply=True)
    return None if chosen is None else ResponseMapperSettings(chosen, status, text, made, headers)
