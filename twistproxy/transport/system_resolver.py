"""getaddrinfo(3), for names that the system is to resolve."""

from __future__ import annotations

import socket
from typing import Literal

#: EAI_AGAIN: another attempt may succeed.
Temporary = Literal["again"]
_NO_ADDRESSES = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


def system_addresses(name: str) -> list[str] | Temporary:
    """The addresses of a name in the system's order; it takes as long as it takes.

    Returns "again" for a temporary failure, an empty list if the name has no addresses.  Raises OSError.
    """
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in _NO_ADDRESSES:
            return []
        if error.errno == socket.EAI_AGAIN:
            return "again"
        raise
    except UnicodeError as error:
        raise OSError(f"malformed name {name!r}") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
