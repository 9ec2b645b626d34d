"""/etc/resolv.conf and /etc/hosts as data (resolv.conf(5), hosts(5)).  Pure: the text comes in."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

DNS_PORT = 53


@dataclass(frozen=True, slots=True)
class ResolverSettings:
    """nameservers: (IP address, port) in order; search: domains to append; ndots: names with fewer dots are
    searched
    first."""

    nameservers: tuple[tuple[str, int], ...]
    search: tuple[str, ...] = ()
    ndots: int = 1


def parse_resolv_conf(text: str) -> ResolverSettings:
    """Reads resolv.conf.

    Without a nameserver it is the one on this machine; what cannot be read is left out.
    """
    nameservers: list[tuple[str, int]] = []
    search: tuple[str, ...] = ()
    ndots = 1
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) < 2:
            continue
        match words[0]:
            case "nameserver":
                if is_ip(words[1].partition("%")[0]):
                    nameservers.append((words[1], DNS_PORT))
            case "domain":
                search = (words[1],)
            case "search":
                search = tuple(word for word in words[1:] if word != ".")
            case "options":
                for word in words[1:]:
                    if word.startswith("ndots:") and word[6:].isdigit():
                        ndots = min(int(word[6:]), 15)
    return ResolverSettings(tuple(nameservers) or (("127.0.0.1", DNS_PORT),), search, ndots)


def parse_hosts(text: str) -> dict[str, tuple[str, ...]]:
    """Reads a hosts file: lower-case name -> its addresses, in order."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if len(words) < 2 or not is_ip(words[0]):
            continue
        for name in words[1:]:
            found[name.lower()] = (*found.get(name.lower(), ()), words[0])
    return found


def candidate_names(name: str, settings: ResolverSettings) -> tuple[str, ...]:
    """The absolute names to ask for, in order, as resolv.conf(5) describes `search` and `ndots`."""
    if name.endswith("."):
        return (name.rstrip("."),)
    searched = tuple(f"{name}.{domain.rstrip('.')}" for domain in settings.search)
    if name.count(".") >= settings.ndots:
        return (name, *searched)
    return (*searched, name)


def is_ip(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
