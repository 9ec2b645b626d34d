"""envoy.config.core.v3.ConfigSource: where resources come from that are not in the configuration itself."""

from __future__ import annotations

from typing import Any, NamedTuple

from twistproxy.config.fields import Reader


class FileSource(NamedTuple):
    """A file of resources.  `watched_directory`: one more directory where moves are noticed, None for no other."""

    path: str
    watched_directory: str | None = None


def file_of(source: Any) -> FileSource | None:
    """The file that a ConfigSource message names, None if it names something else."""
    kind = source.WhichOneof("config_source_specifier")
    if kind == "path":
        return FileSource(source.path)
    if kind != "path_config_source":
        return None
    settings = source.path_config_source
    watched = settings.watched_directory.path if settings.HasField("watched_directory") else None
    return FileSource(settings.path, watched)


def read_file_source(source: Reader, what: str) -> FileSource | None:
    """The same with everything read; `what` comes from there.  Anything but a file is a problem, and None."""
    source.enum("resource_api_version")
    source.ignore("initial_fetch_timeout")  # a file is there at once
    found = file_of(source.raw)
    if found is None:
        kind = source.oneof("config_source_specifier")
        source.refuse(
            kind, f"{what} can come from a file (path_config_source) so far, not from a control plane"
        )
        return None
    file = source.message("path_config_source")
    if file is None:
        source.string("path")
        return found
    file.string("path")
    directory = file.message("watched_directory")
    if directory is not None:
        directory.string("path")
    return found
