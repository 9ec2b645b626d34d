"""Message types by name: a full proto name such as `envoy.config.cluster.v3.Cluster` in, the class out.

The `xds-protos` package holds some 1,600 modules.  A module is imported when a type in it is first named,
never before, because each costs memory in every process.  A package's directory is its proto name with
slashes; within it the module whose name resembles the type is tried first.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from twistproxy.config import newer_protos

TYPE_URL_PREFIX = "type.googleapis.com/"
_ROOTS = ("envoy", "xds", "udpa", "google.protobuf", "google.rpc", "google.type", "opentelemetry")


def type_name(type_url: str) -> str:
    """The full proto name at the end of a type URL (`type.googleapis.com/a.b.C` → `a.b.C`)."""
    return type_url.rpartition("/")[2]


@cache
def message_class(name: str) -> type[message.Message] | None:
    """The class of the message type `name`, or None if the installed protos do not have it."""
    pool = descriptor_pool.Default()
    try:
        found = pool.FindMessageTypeByName(name)
    except KeyError:
        if not (_import_for(name) or newer_protos.define(name)):
            return None
        found = pool.FindMessageTypeByName(name)
    result: type[message.Message] = message_factory.GetMessageClass(found)
    return result


def _import_for(name: str) -> bool:
    """Import modules of the type's package, the likeliest first, until the type is known."""
    pool = descriptor_pool.Default()
    parts = name.split(".")
    # The package is the lower-case part; a nested type (`Cluster.EdsClusterConfig`) has several names after
    # it.
    depth = next((index for index, part in enumerate(parts) if part[:1].isupper()), len(parts) - 1)
    package, outer = ".".join(parts[:depth]), parts[depth]
    for module in _likeliest_first(module_names(package), outer):
        importlib.import_module(f"{package}.{module}")
        try:
            pool.FindMessageTypeByName(name)
        except KeyError:
            continue
        return True
    return False


def _likeliest_first(modules: list[str], type_word: str) -> list[str]:
    wanted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type_word).lower()
    return sorted(modules, key=lambda module: (module != f"{wanted}_pb2", module[:4] != wanted[:4], module))


def is_repeated(field: Any) -> bool:
    """Whether a FieldDescriptor is that of a list or a map."""
    modern = getattr(field, "is_repeated", None)  # since protobuf 6.31; `label` is deprecated there
    return bool(modern) if modern is not None else bool(field.label == field.LABEL_REPEATED)


@cache
def package_directory(package: str) -> Path | None:
    """Where the modules of a proto package lie, without importing any of them."""
    if not any(package == root or package.startswith(root + ".") for root in _ROOTS):
        return None
    top, *rest = package.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    for place in (spec.submodule_search_locations or ()) if spec else ():
        directory = Path(place, *rest)
        if directory.is_dir():
            return directory
    return None


@cache
def module_names(package: str) -> list[str]:
    """The module names (`cluster_pb2`) of a proto package; empty if there is none."""
    directory = package_directory(package)
    return sorted(path.stem for path in directory.glob("*_pb2.py")) if directory else []


@cache
def packages() -> list[str]:
    """Every Envoy and xDS proto package installed, found in the file system.  For suggestions only."""
    found = set()
    for root in ("envoy", "xds", "udpa"):
        directory = package_directory(root)
        for path in directory.rglob("*_pb2.py") if directory else ():
            assert directory is not None
            found.add(".".join((root, *path.parent.relative_to(directory).parts)))
    return sorted(found)


@cache
def declared_messages(package: str) -> list[str]:
    """The message types a package declares, read from its modules' serialised descriptors, not imported."""
    directory = package_directory(package)
    names = []
    for path in sorted(directory.glob("*_pb2.py")) if directory else ():
        serialised = _SERIALISED.search(path.read_text(encoding="utf-8"))
        if serialised is not None:
            literal = serialised.group(1)
            content = literal.encode("latin-1").decode("unicode_escape").encode("latin-1")
            names += [m.name for m in descriptor_pb2.FileDescriptorProto.FromString(content).message_type]
    return [f"{package}.{name}" for name in names]


_SERIALISED = re.compile(r"AddSerializedFile\(b'((?:[^'\\]|\\.)*)'\)")
