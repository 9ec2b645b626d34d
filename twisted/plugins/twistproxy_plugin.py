"""Tells twistd of the `twistproxy` command and of the reactor `twistproxy` (`twistd --reactor twistproxy`)."""

from twisted.application.reactors import Reactor
from twisted.application.service import ServiceMaker

twistproxy_service = ServiceMaker(
    "twistproxy", "twistproxy.tap", "Envoy-compatible sidecar and edge proxy.", "twistproxy"
)
twistproxy_reactor = Reactor(
    "twistproxy", "twistproxy.transport.reactor", "uvloop, with streams on libuv's own transports."
)
