"""v1 `ssl_context` objects of listeners and clusters to v3 transport sockets."""

from __future__ import annotations

from typing import Any

from .v1_reader import Text, V1Object, typed

_TLS = "envoy.extensions.transport_sockets.tls.v3"


def listener_transport_socket(owner: V1Object) -> dict[str, Any] | None:
    """The transport socket of a listener, None for plaintext."""
    context = owner.object("ssl_context")
    if context is None:
        return None
    common = _common(context, required=True)
    pinned = context.has("verify_certificate_hash") or context.has("verify_subject_alt_name")
    require = context.boolean("require_client_certificate")
    tickets: list[dict[str, Any]] = [
        {"filename": path} for path in context.strings("session_ticket_key_paths")
    ]
    if context.raw("alt_alpn_protocols") is not None:
        text = (
            "is left out: nothing switches to it (the runtime key ssl.alt_alpn did); alpn_protocols applies"
        )
        context.warning(text, "alt_alpn_protocols")
    content = {
        "common_tls_context": common,
        # A v1 listener that pins or names client certificates also demanded one.
        "require_client_certificate": True if pinned else require,
        "session_ticket_keys": {"keys": tickets} if tickets else None,
    }
    content = {key: value for key, value in content.items() if value is not None}
    _note(context)
    return context.v3(typed("envoy.transport_sockets.tls", f"{_TLS}.DownstreamTlsContext", content))


def cluster_transport_socket(owner: V1Object) -> dict[str, Any] | None:
    """The transport socket of a cluster, None for plaintext."""
    context = owner.object("ssl_context")
    if context is None:
        return None
    common = _common(context, required=False)
    sni = context.string("sni")
    content: dict[str, Any] = {"common_tls_context": common}
    if sni is not None:
        content["sni"] = sni
    _note(context)
    return context.v3(typed("envoy.transport_sockets.tls", f"{_TLS}.UpstreamTlsContext", content))


def _note(context: V1Object) -> None:
    context.conversion.note(
        "TLS: v1 spoke TLS 1.0 to 1.2 with the ciphers of its time; today's defaults for versions and ciphers apply."
    )


def _common(context: V1Object, required: bool) -> dict[str, Any]:
    chain = context.string("cert_chain_file", required)
    key = context.string("private_key_file", required)
    if not required and (chain is None) != (key is None):
        context.problem("cert_chain_file and private_key_file go together")
    alpn = _split(context.string("alpn_protocols"), ",")
    parameters = {
        "cipher_suites": _split(context.string("cipher_suites"), ":"),
        "ecdh_curves": _split(context.string("ecdh_curves"), ":"),
    }
    certificate = {"certificate_chain": {"filename": chain}, "private_key": {"filename": key}}
    return {
        "tls_params": parameters if any(parameters.values()) else None,
        "tls_certificates": [certificate] if chain is not None and key is not None else None,
        "validation_context": _validation(context),
        "alpn_protocols": alpn,
    }


def _validation(context: V1Object) -> dict[str, Any] | None:
    authority = context.string("ca_cert_file")
    digest = context.string("verify_certificate_hash")
    revoked = context.string("crl_file")
    matchers = [
        {"san_type": kind, "matcher": {"exact": name}} for name in _names(context) for kind in ("DNS", "URI")
    ]
    content = {
        "trusted_ca": {"filename": authority} if authority is not None else None,
        "verify_certificate_hash": [digest] if digest is not None else None,
        "match_typed_subject_alt_names": matchers or None,
        "crl": {"filename": revoked} if revoked is not None else None,
    }
    return content if any(value is not None for value in content.values()) else None


def _names(context: V1Object) -> list[Text]:
    node = context.raw("verify_subject_alt_name")
    value = getattr(node, "value", None)
    if isinstance(value, str):
        text = 'an old spelling: write a list, ["' + value + '"]'
        context.warning(text, "verify_subject_alt_name")
        return [Text(value, node.offset)] if node is not None else []
    return context.strings("verify_subject_alt_name")


def _split(value: Text | None, separator: str) -> list[Text] | None:
    if value is None:
        return None
    return [Text(part.strip(), value.offset) for part in value.split(separator) if part.strip()] or None
