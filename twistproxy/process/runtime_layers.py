"""The runtime's layers in the master: read, watched, changed by the admin, and merged for the workers.

Workers know only the merged values (`primitives.runtime`): each gets them with its configuration and whenever they
change.  What /runtime_modify has set lives here, so neither a worker's end nor a reload takes it away.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.logger import Logger

from twistproxy.config.runtime import parse_value
from twistproxy.discovery.file_watch import FileWatch, FileWatcher
from twistproxy.errors import ConfigError
from twistproxy.model.runtime import AdminLayer, DiskLayer, LayerValue, RuntimeLayer, StaticLayer
from twistproxy.primitives.runtime import Plain

_log = Logger(namespace="twistproxy.master")

#: Directories below each other that a disk layer may have, as Envoy's MaxWalkDepth.
_MAX_DEPTH = 16


@dataclass(frozen=True, slots=True)
class LoadedLayer:
    """A layer with what is in it at the moment."""

    name: str
    values: Mapping[str, LayerValue]


class NoAdminLayer(Exception):
    """The configuration has no layer that could be modified."""


class RuntimeLayers:
    """The layers of the running configuration.

    changed  called when the merged values of the running configuration may have become others
    """

    def __init__(self, reactor: Any, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._watcher = FileWatcher(reactor, _log)
        self._watches: dict[str, FileWatch] = {}
        self._settings: tuple[RuntimeLayer, ...] = ()
        self._overrides: dict[str, LayerValue] = {}
        self.layers: list[LoadedLayer] = []
        self.values: dict[str, Plain] = {}
        self._loads = self._errors = self._found = self._missing = 0

    def use(self, settings: tuple[RuntimeLayer, ...]) -> None:
        """These are the layers of the running configuration from now on."""
        self._settings = settings
        wanted = {layer.symlink_root for layer in settings if isinstance(layer, DiskLayer)}
        for root in self._watches.keys() - wanted:
            self._watcher.unwatch(self._watches.pop(root))
        for root in wanted - self._watches.keys():
            self._watches[root] = self._watcher.watch(root, self._load)
        self._load()

    def values_of(self, settings: tuple[RuntimeLayer, ...]) -> dict[str, Plain]:
        """The merged values of a configuration, which need not be the running one."""
        return self.values if settings == self._settings else merged(self._read(settings)[0])

    def modify(self, overrides: Mapping[str, str]) -> None:
        """Set values in the admin layer; an empty one takes what was set away.  ConfigError, after what comes before
        it has been set, for a value that is no YAML."""
        if not any(isinstance(layer, AdminLayer) for layer in self._settings):
            raise NoAdminLayer
        try:
            for key, text in overrides.items():
                self._overrides.pop(key, None)
                if text:
                    self._overrides[key] = parse_value(text)
        finally:
            self._load()

    def stop(self) -> None:
        for watch in self._watches.values():
            self._watcher.unwatch(watch)
        self._watches.clear()

    @property
    def counters(self) -> dict[str, int]:
        return {
            "runtime.load_success": self._loads,
            "runtime.load_error": self._errors,
            "runtime.override_dir_exists": self._found,
            "runtime.override_dir_not_exists": self._missing,
        }

    @property
    def gauges(self) -> dict[str, int]:
        overridden = any(isinstance(layer, AdminLayer) for layer in self._settings) and self._overrides
        return {
            "runtime.admin_overrides_active": int(bool(overridden)),
            "runtime.num_keys": len(self.values),
            "runtime.num_layers": len(self.layers),
        }

    def _load(self) -> None:
        self.layers, errors = self._read(self._settings)
        self.values = merged(self.layers)
        if errors:
            self._errors += 1
        else:
            self._loads += 1
        disks = {layer.name for layer in self._settings if isinstance(layer, DiskLayer)}
        # As Envoy counts: the first of two directories is no override.
        if sum(layer.name in disks for layer in self.layers) > 1:
            self._found += 1
        else:
            self._missing += 1
        self._changed()

    def _read(self, settings: Sequence[RuntimeLayer]) -> tuple[list[LoadedLayer], int]:
        """The layers with their values, without those whose directory is missing or bad; and how many are bad."""
        layers: list[LoadedLayer] = []
        errors = 0
        for layer in settings:
            if isinstance(layer, StaticLayer):
                layers.append(LoadedLayer(layer.name, layer.values))
            elif isinstance(layer, AdminLayer):
                layers.append(LoadedLayer(layer.name, dict(self._overrides)))
            elif os.path.isdir(layer.directory):
                try:
                    layers.append(LoadedLayer(layer.name, read_directory(layer.directory)))
                except (OSError, ConfigError) as e:
                    errors += 1
                    _log.error("runtime layer {name}: {reason}", name=layer.name, reason=str(e))
        return layers, errors


def merged(layers: Sequence[LoadedLayer]) -> dict[str, Plain]:
    """One value for each key: that of the last layer that has it."""
    return {key: value.value for layer in layers for key, value in layer.values.items()}


def read_directory(path: str, prefix: str = "", depth: int = 1) -> dict[str, LayerValue]:
    """The values of a disk layer.  OSError if something cannot be read, ConfigError if a file is no YAML."""
    if depth > _MAX_DEPTH:
        raise OSError(f"{path}: more than {_MAX_DEPTH} directories deep")
    values: dict[str, LayerValue] = {}
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            key = prefix + entry.name
            if entry.is_dir():
                values.update(read_directory(entry.path, f"{key}.", depth + 1))
            elif entry.is_file():
                with open(entry.path, encoding="utf-8", errors="replace", newline="") as file:
                    lines = [line for line in file.read().split("\n") if line and not line.startswith("#")]
                try:
                    values[key] = parse_value("\n".join(lines).rstrip())
                except ConfigError as e:
                    raise OSError(f"{entry.path}: {e}") from e
    return values
