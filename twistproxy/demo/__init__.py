"""`twistproxy demo`: a service of four copies, their sidecars and an edge on loopback, and what happens to it.

Every program is started as a user would start it; nothing here reaches into the proxy.  `main` is the command.
"""

from twistproxy.demo.command import main

__all__ = ["main"]
