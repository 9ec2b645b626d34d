"""The command line, as every process of the program sees it.  Names are Envoy's command line options."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What `twistd twistproxy` was started with.

    config_path    the configuration file, "" if only `config_yaml` was given
    config_yaml    text that is merged over the file
    concurrency    workers
    drain_time     seconds that a drain may take
    unsupported    "error" or "warn": what a set field that nothing implements is
    log_level      trace debug info warning error critical off
    run_dir        where the processes' Unix sockets are, "" for a fresh private directory
    worker_reactor "twistproxy" (libuv) or "epoll" (Twisted's own)
    log_flush_interval  seconds that a line of an access log may wait
    local_address  an address of this machine that others can reach, for x-forwarded-for
    """

    config_path: str = ""
    config_yaml: str = ""
    concurrency: int = 1
    mode: str = "serve"
    drain_time: float = 600.0
    service_node: str = ""
    service_cluster: str = ""
    service_zone: str = ""
    run_dir: str = ""
    unsupported: str = "error"
    log_level: str = "info"
    worker_reactor: str = "twistproxy"
    log_flush_interval: float = 1.0
    local_address: str = "127.0.0.1"
