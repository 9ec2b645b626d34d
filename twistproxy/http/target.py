"""Request targets and Host values (RFC 9112 sections 3.2 and 3.2.1 to 3.2.4)."""

from __future__ import annotations

import re

#: reg-name, IPv4 or IP-literal with a port; no userinfo, no delimiter that would end an authority (RFC 3986, 3.2).
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+(?:%25[\w.~%-]+)?\]|[!$&'()*+,;=\w.~%-]*)(?::[0-9]*)?", re.ASCII)
#: What Envoy takes in an absolute form and in that of CONNECT is narrower: names of letters, digits, "-" and ".".
_AUTHORITY = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]+)?")
_ABSOLUTE = re.compile(rb"(https?)://([^/?#]*)([/?].*)?", re.IGNORECASE)

#: An absolute URI without userinfo and with a port below 65536, or a relative reference; neither with a fragment.
_REFERER = re.compile(
    rb"[a-z][a-z0-9+.-]*://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])"
    rb"(?::(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[0-5]?[0-9]{1,4}))?(?:[/?][!\"$-~]*#?)?"
    rb"|[a-z0-9!$%&'()*+,;=._~@?-]*(?:/[a-z0-9!$%&'()*+,;=._~@?:/-]*)?",
    re.IGNORECASE,
)

_ORIGIN = re.compile(rb"[a-z][a-z0-9+.-]*://[^/?#]+", re.IGNORECASE)
_REFERER_PATH = bytes(range(0x21, 0x7F)).replace(b"#", b"")

#: Schemes with authorities that were found good in a Referer: a site's pages are many, and it is one.  Bounded.
_good_origins: set[bytes] = set()

#: Hosts that were found good, so that a name is looked at once.  Bounded: see `valid_host`.
_good_hosts: set[bytes] = set()


def valid_host(host: bytes) -> bool:
    """Whether a Host value can be an authority.  The empty one is good here: whether a host is needed is for others."""
    if host in _good_hosts:
        return True
    if _HOST.fullmatch(host) is None:
        return False
    if len(_good_hosts) > 4096:
        _good_hosts.clear()
    _good_hosts.add(host)
    return True


def valid_referer(value: bytes) -> bool:
    """Whether a Referer is what RFC 9110 section 10.1.3 allows, as far as Envoy looks: it takes others away."""
    path_at = value.find(b"/", 8)  # behind "https://"
    if path_at > 0 and value[:path_at] in _good_origins:
        odd = value[path_at:].translate(None, _REFERER_PATH)
        return not odd or (odd == b"#" and value.endswith(odd))
    if _REFERER.fullmatch(value) is None:
        return False
    if path_at > 0 and _ORIGIN.fullmatch(value[:path_at]) is not None:
        if len(_good_origins) > 4096:
            _good_origins.clear()
        _good_origins.add(value[:path_at])
    return True


def _good_authority(authority: bytes) -> bool:
    """Whether a target may name it."""
    if _AUTHORITY.fullmatch(authority) is None:
        return False
    port = authority.rpartition(b":")[2]
    return b":" not in authority or not port.isdigit() or (len(port) < 20 and int(port) < 65536)


def split_target(method: bytes, target: bytes, allow_absolute: bool) -> tuple[bytes, bytes, bytes] | None:
    """(scheme, authority, path) of a target that is not a plain path; None if it is malformed.

    scheme and authority are b"" where the target has none (origin form, "*").  The absolute form's authority
    replaces Host (RFC 9112 section 3.2.2).  The path is "?…" for an absolute form that has a query and no path; a
    fragment stays in it.
    """
    if method == b"CONNECT":
        return (b"", target, b"") if b":" in target and _good_authority(target) else None
    if target[:1] == b"/":
        return b"", b"", target
    if target == b"*":
        return (b"", b"", target) if method == b"OPTIONS" else None
    if not allow_absolute:
        return (b"", b"", target) if b"://" in target else None  # no path for anybody: 404
    match = _ABSOLUTE.fullmatch(target)
    if match is None or not _good_authority(match.group(2)):
        return None
    return match.group(1).lower(), match.group(2), match.group(3) or b"/"
