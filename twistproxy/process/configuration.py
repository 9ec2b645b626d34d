"""A configuration, from the command line to the description that the processes run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twistproxy.config.build import build_bootstrap
from twistproxy.config.config_source import FileSource
from twistproxy.config.load import load_bootstrap
from twistproxy.config.types import message_class
from twistproxy.errors import ConfigProblem
from twistproxy.model.bootstrap import Bootstrap
from twistproxy.model.server_options import ServerOptions


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration that was found to be good.

    source      what to call it: the file's name
    document    the `config.load.Document`, with the message
    bootstrap   the run-time description
    serialized  the message, as it travels to the other processes
    warnings    what is worth saying though it does not keep it from running
    files       with resources, whose change calls for a reload
    """

    source: str
    document: Any
    bootstrap: Bootstrap
    serialized: bytes
    warnings: tuple[ConfigProblem, ...] = ()
    files: tuple[FileSource, ...] = ()


class _Newest:
    """What this process, or the one that it was forked from, has built last."""

    serialized: bytes | None = None
    options: ServerOptions | None = None
    bootstrap: Bootstrap | None = None


def load_configuration(options: ServerOptions) -> Configuration:
    """Read, check and build what the command line names.  ConfigError with all problems."""
    document = load_bootstrap(options.config_path or None, options.config_yaml or None)
    warnings = list(document.warnings)
    built = build_bootstrap(document, options, warnings.append)
    source = options.config_path or "--config-yaml"
    serialized = document.message.SerializeToString()
    files = tuple(document.included.files)
    _Newest.serialized, _Newest.options, _Newest.bootstrap = serialized, options, built
    return Configuration(source, document, built, serialized, tuple(warnings), files)


def rebuild(serialized: bytes, source: str, options: ServerOptions) -> Bootstrap:
    """The description in another process.  ConfigError as there.

    One that was there when this process was forked is the same: with thousands of clusters it takes a second to build,
    and processes that have inherited it share its memory.
    """
    if _Newest.bootstrap is not None and (_Newest.serialized, _Newest.options) == (serialized, options):
        return _Newest.bootstrap
    bootstrap_class = message_class("envoy.config.bootstrap.v3.Bootstrap")
    assert bootstrap_class is not None
    return build_bootstrap(bootstrap_class.FromString(serialized), options)
