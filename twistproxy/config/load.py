"""A configuration file to an `envoy.config.bootstrap.v3.Bootstrap` message, with every mistake shown at its
place.

    document = load_bootstrap("envoy.yaml", overlay_yaml="admin: {…}")
    document.message                  the Bootstrap
    document.place(problem)           a problem that a builder found, with file, line and column

The text may be v3 YAML or JSON, or Envoy's v1 JSON (also written as YAML): the top-level keys tell.  An
overlay is v3 YAML or JSON and is merged over the file as Envoy merges `--config-yaml`: fields replace, lists
grow (protobuf MergeFrom).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap

from twistproxy.errors import ConfigError, ConfigProblem

from .file_resources import Included, include_files
from .json_mapping import Filler
from .places import Mapping, Tree, describe, is_written, locate
from .source import collector_paused, parse
from .suggest import did_you_mean, listed
from .v1 import V1_KEYS, to_v3
from .validate import violations

_COMMON_KEYS = {"admin", "flags_path", "cluster_manager", "tracing"}
_V3_KEYS = {
    name for field in Bootstrap.DESCRIPTOR.fields for name in (field.name, field.json_name)
} - _COMMON_KEYS


@dataclass(slots=True)
class Document:
    """A loaded configuration.

    message   the Bootstrap
    format    "v3" or "v1": what the file was written in
    warnings  what is legal but worth saying, with places
    trees     the parsed texts, for places: the file's (for v1, its translation), then the overlay's, then those of
              files with resources
    included  what was put into the message from files
    """

    message: Any
    format: str
    warnings: list[ConfigProblem]
    trees: list[Tree]
    included: Included = field(default_factory=Included)

    def locate(self, path: str) -> tuple[str, int, int] | None:
        """File, line and column of the field at `path`, or of the innermost part around it that is in the
        text.
        """
        trees = self.trees
        for prefix, tree in self.included.places.items():
            if path.startswith(prefix):
                trees, path = [tree], path[len(prefix) :].removeprefix(".")
        found = locate(trees, path)
        if found is None:
            return None
        source, offset = found
        return (source.name, *source.place(offset))

    def place(self, problem: ConfigProblem) -> ConfigProblem:
        """The problem with its place filled in from its path, if it has none yet."""
        if problem.line:
            return problem
        found = self.locate(problem.path)
        return problem if found is None else replace(problem, file=found[0], line=found[1], column=found[2])


def load_bootstrap(path: str | None, overlay_yaml: str | None = None) -> Document:
    """Load a file, an overlay, or both.

    Raises ConfigError with all problems; a file that cannot be read is one too.  Without either, the
    Bootstrap is empty.
    """
    texts: list[tuple[str, str]] = []
    if path is not None:
        texts.append((_read(path), path))
    if overlay_yaml is not None:
        texts.append((overlay_yaml, "--config-yaml"))
    return _load(texts)


def load_text(text: str, name: str = "") -> Document:
    """Load a configuration from its text; `name` is what its problems call it."""
    return _load([(text, name)])


def _read(path: str) -> str:
    try:
        return Path(path).read_bytes().decode("utf-8")
    except OSError as error:
        raise ConfigError([ConfigProblem("", f"cannot read it: {error.strerror}", path)]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([ConfigProblem("", f"is not UTF-8 text (byte {error.start})", path)]) from None


def _load(texts: list[tuple[str, str]]) -> Document:
    message = Bootstrap()
    document = Document(message, "v3", [], [])
    problems: list[ConfigProblem] = []
    unknown: set[str] = set()
    with collector_paused():
        for text, name in texts:
            tree = parse(text, name)
            document.warnings += tree.warnings
            _require_mapping(tree)
            if _is_v1(tree):
                document.format = "v1"
                tree, differences = to_v3(tree)
                document.warnings += differences
            part = Bootstrap()
            filler = Filler(tree.source)
            filler.fill(part, tree.root)
            problems += filler.problems
            unknown |= filler.unknown
            message.MergeFrom(part)
            document.trees.append(tree)
        document.included = included = include_files(message)
        document.trees += included.trees
        problems += map(document.place, included.problems)
        broken = {problem.path for problem in problems if problem.path}
        found = (
            violation
            for violation in violations(message)
            if not _follows(violation, broken, unknown, document.trees)
        )
        problems += map(document.place, found)
    if problems:
        order = {name: index for index, (_, name) in enumerate(texts)}
        raise ConfigError(sorted(problems, key=lambda p: (order.get(p.file, 0), p.line, p.column)))
    return document


def _require_mapping(tree: Tree) -> None:
    """Refuse what is no configuration of any kind, before a hundred unknown keys are listed."""
    root = tree.root
    if not isinstance(root, Mapping):
        text = f"a configuration is a mapping, and this is {describe(root)}"
        raise ConfigError([tree.source.problem(root.offset, "", text)])
    keys = set(root.entries)
    known = _V3_KEYS | _COMMON_KEYS | V1_KEYS
    if keys and not keys & known and not any(did_you_mean(key, known) for key in keys):
        text = (
            "neither an Envoy v3 configuration (static_resources, dynamic_resources, admin, …) "
            f"nor a v1 one (listeners, cluster_manager, admin): its keys are {listed(root.entries)}"
        )
        raise ConfigError([tree.source.problem(root.offset, "", text)])


def _is_v1(tree: Tree) -> bool:
    assert isinstance(tree.root, Mapping)
    keys = set(tree.root.entries)
    if keys & _V3_KEYS:
        return False
    manager = tree.root.get("cluster_manager")
    return bool(keys & V1_KEYS) or (isinstance(manager, Mapping) and "clusters" in manager.entries)


def _follows(violation: ConfigProblem, broken: set[str], unknown: set[str], trees: list[Tree]) -> bool:
    """Whether a violation is but the consequence of a field that could not be read or was misspelt."""
    around = list(_around(violation.path))
    if any(path in broken for path in around):
        return True
    # A message with a misspelt field in it may seem to lack a field; not so one that is written down.
    if around[0] in unknown:
        return True
    return len(around) > 1 and around[1] in unknown and not is_written(trees, violation.path)


def _around(path: str) -> Iterator[str]:
    """The path and those around it, from the inside out, "" last."""
    while path:
        yield path
        cut = max(path.rfind("."), path.rfind("["))
        path = path[:cut] if cut > 0 else ""
    yield ""
