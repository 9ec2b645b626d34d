"""envoy.config.core.v3.DataSource: content from a file, the configuration itself or the environment."""

from __future__ import annotations

import os
import re

from twistproxy.config.fields import Reader

#: What is no file there may never end.  Envoy refuses the same (InstanceImplPosix::illegalPath).
_NOT_FILES = re.compile(r"/(?:dev|sys|proc)(?:/|$)")


def read_data_source(source: Reader) -> bytes:
    """The content, read now; what cannot be read is a problem."""
    kind = source.oneof("specifier")
    if kind == "inline_string":
        return source.string("inline_string").encode()
    if kind == "inline_bytes":
        return source.octets("inline_bytes")
    if kind == "environment_variable":
        name = source.string("environment_variable")
        value = os.environb.get(name.encode())
        if value is None:
            source.problem(f"Environment variable doesn't exist: {name}", "environment_variable")
        return value or b""
    if kind == "filename":
        path = source.string("filename")
        if "\0" in path:
            source.problem(f"Invalid path: {path}", "filename")
            return b""
        if _NOT_FILES.match(os.path.realpath(path)):
            source.problem(f"Invalid path: {path}", "filename")
            return b""
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as error:
            source.problem(f"cannot read {path}: {error.strerror}", "filename")
    else:
        source.problem("a specifier is expected")
    return b""
