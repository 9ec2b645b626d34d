"""The only package with sockets: the reactor, listeners, connectors, Unix links, log files."""
