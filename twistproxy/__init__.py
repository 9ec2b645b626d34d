"""An Envoy-compatible sidecar and edge proxy on Twisted.

The packages, from the bottom up (each imports only those before it; `.importlinter` has the contract):

errors, primitives, http, api, model     words and shapes
observe, codec, route, upstream          counting, bytes to messages, where to, to whom
stream, filters, ipc                     one request and its chain; words between processes
network, transport                       one connection; the only sockets
config, discovery, admin                 files to run time; endpoints; pages for people
process, tap, cli                        what runs where, and how it is started

`docs/architecture.md` walks through one request and one endpoint update, file by file.
"""

__version__ = "0.1.0"
