"""Message types by name, and what to suggest for a name that is none."""

from __future__ import annotations

import pytest

from twistproxy.config.suggest import did_you_mean, listed, unknown_type
from twistproxy.config.types import declared_messages, message_class, module_names, packages, type_name


@pytest.mark.parametrize(
    "name",
    [
        "envoy.config.cluster.v3.Cluster",
        "envoy.config.cluster.v3.Cluster.EdsClusterConfig",
        "envoy.config.core.v3.TypedExtensionConfig",  # not in a module of its own name
        "envoy.extensions.filters.http.router.v3.Router",
        "xds.type.v3.TypedStruct",
        "udpa.type.v1.TypedStruct",
        "google.protobuf.Duration",
        "google.protobuf.StringValue",
    ],
)
def test_a_type_is_found(name: str) -> None:
    found = message_class(name)
    assert found is not None
    assert found.DESCRIPTOR.full_name == name
    assert message_class(name) is found


@pytest.mark.parametrize(
    "name",
    ["", "Cluster", "envoy.config.cluster.v3.Nope", "envoy.nope.v3.Nope", "os.path", "a.b.C", "envoy..v3.X"],
)
def test_a_type_that_there_is_not(name: str) -> None:
    assert message_class(name) is None


def test_type_urls() -> None:
    assert type_name("type.googleapis.com/a.b.C") == "a.b.C"
    assert type_name("x/y/a.b.C") == "a.b.C"
    assert type_name("a.b.C") == "a.b.C"


def test_what_a_package_declares_is_found_without_importing_it() -> None:
    package = "envoy.extensions.filters.http.jwt_authn.v3"
    assert package in packages()
    assert module_names(package) == ["config_pb2"]
    assert f"{package}.JwtAuthentication" in declared_messages(package)
    assert module_names("envoy.nope.v3") == []


def test_suggestions() -> None:
    assert did_you_mean("statprefix", ["stat_prefix", "codec_type"]) == '; did you mean "stat_prefix"?'
    assert did_you_mean("zzz", ["stat_prefix"]) == ""
    assert listed(["a", "b"]) == "a, b"
    assert listed("abcd", most=2) == "a, b, … (4 in all)"


def test_unknown_types() -> None:
    package = "envoy.extensions.filters.http.router.v3"
    assert unknown_type(f"{package}.Roter") == (
        f'unknown message type "{package}.Roter"; did you mean "{package}.Router"?'
    )
    assert unknown_type(f"{package}.Xyz").endswith(f"; the package {package} has Router")
    assert "may trail Envoy" in unknown_type("acme.filters.v3.Thing")
