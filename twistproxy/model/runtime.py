"""The layers of the runtime as configured (envoy.config.bootstrap.v3.LayeredRuntime)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twistproxy.primitives.runtime import Plain


@dataclass(frozen=True, slots=True)
class LayerValue:
    """One value of a layer: what it is, and the text that /runtime shows for it."""

    value: Plain
    text: str


@dataclass(frozen=True, slots=True)
class StaticLayer:
    """Values that are in the configuration itself, under their full keys."""

    name: str
    values: Mapping[str, LayerValue]


@dataclass(frozen=True, slots=True)
class DiskLayer:
    """A directory tree: each file is a value, its path the key.

    symlink_root  when another directory is moved here, the tree is read again
    directory     where the tree begins
    """

    name: str
    symlink_root: str
    directory: str


@dataclass(frozen=True, slots=True)
class AdminLayer:
    """What POST /runtime_modify sets."""

    name: str


RuntimeLayer = StaticLayer | DiskLayer | AdminLayer
