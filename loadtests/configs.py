"""Configuration files of the origin and of every proxy, with equal work for all proxies.

Equal work: one listener, one upstream with keep-alive, a request id made for each request, x-forwarded-for
and x-forwarded-proto set, no access log, bodies streamed and not kept, limits on connections out of the way.
"""

from __future__ import annotations

import os
from pathlib import Path

_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"

ANSWER_SIZES = {"/1k": 1024, "/64k": 64 * 1024}


def _nginx_user() -> str:
    """Started by root, nginx's workers would become a user that cannot read the private directory."""
    return "user root; " if os.geteuid() == 0 else ""


def origin_nginx(directory: Path, port: int) -> str:
    """The origin: static answers out of the page cache, and /upload, which reads the whole body before it
    answers.

    nginx answers `return 200` before it has read the body, so /upload passes the request, without the body
    but after having read it into memory, to a second server on a Unix socket.
    """
    locations = "\n".join(
        f"        location {path} {{ try_files /{size}.bin =500; }}" for path, size in ANSWER_SIZES.items()
    )
    return f"""\
daemon off; {_nginx_user()}worker_processes 1; pid {directory}/origin.pid; error_log stderr error;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
    access_log off; server_tokens off; sendfile on; tcp_nodelay on; default_type application/octet-stream;
    open_file_cache max=100; open_file_cache_valid 1h;
    keepalive_requests 1000000000; keepalive_timeout 1h;
    client_max_body_size 0; client_body_buffer_size 2m;
    client_body_temp_path {directory}/origin-body; proxy_temp_path {directory}/origin-proxy;
    fastcgi_temp_path {directory}/origin-fcgi; uwsgi_temp_path {directory}/origin-uwsgi;
    scgi_temp_path {directory}/origin-scgi;
    upstream after_upload {{ server unix:{directory}/after-upload.sock; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096; root {directory};
{locations}
        location /upload {{
            proxy_pass http://after_upload; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_pass_request_body off; proxy_set_header Content-Length "";
            proxy_set_header X-Read $content_length;
        }}
    }}
    server {{
        listen unix:{directory}/after-upload.sock;
        location / {{ return 200 "read $http_x_read\\n"; }}
    }}
}}
"""


#: Everything goes to the origin.
ONE_ROUTE = (
    '[{name: app, domains: ["app.example.com", "*"], '
    'routes: [{match: {prefix: "/"}, route: {cluster: app, timeout: 60s}}]}]'
)


def envoy_v3(port: int, admin_port: int, origin_port: int, virtual_hosts: str = ONE_ROUTE) -> str:
    """The v3 file that Envoy and twistproxy both get, byte for byte but for the two ports they listen on.

    `virtual_hosts`: a list of them, in YAML or JSON on one line.
    """
    return f"""\
admin:
  address: {{socket_address: {{address: 127.0.0.1, port_value: {admin_port}}}}}
static_resources:
  listeners:
  - name: ingress
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/{_MANAGER}
          stat_prefix: ingress
          codec_type: HTTP1
          use_remote_address: true
          route_config:
            name: local
            virtual_hosts: {virtual_hosts}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: app
    type: STATIC
    connect_timeout: 5s
    lb_policy: ROUND_ROBIN
    circuit_breakers:
      thresholds:
      - max_connections: 4096
        max_pending_requests: 4096
        max_requests: 4096
    load_assignment:
      cluster_name: app
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {origin_port}}}}}}}
"""


def nginx(directory: Path, port: int, origin_port: int, workers: int) -> str:
    """nginx as a proxy; bodies are streamed upwards, never written to a file."""
    return f"""\
daemon off; {_nginx_user()}worker_processes {workers}; pid {directory}/nginx.pid; error_log stderr error;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
    access_log off; tcp_nodelay on;
    keepalive_requests 1000000000; keepalive_timeout 1h; client_max_body_size 0;
    client_body_temp_path {directory}/nginx-body; proxy_temp_path {directory}/nginx-proxy;
    fastcgi_temp_path {directory}/nginx-fcgi; uwsgi_temp_path {directory}/nginx-uwsgi;
    scgi_temp_path {directory}/nginx-scgi;
    upstream app {{
        server 127.0.0.1:{origin_port}; keepalive 512; keepalive_requests 1000000000; keepalive_timeout 1h;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096 reuseport;
        location / {{
            proxy_pass http://app; proxy_http_version 1.1;
            proxy_request_buffering off; proxy_buffers 16 16k; proxy_max_temp_file_size 0;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Request-Id $request_id;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"""


def haproxy(port: int, origin_port: int, threads: int) -> str:
    """HAProxy as a proxy."""
    return f"""\
global
    nbthread {threads}
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    option http-keep-alive
    http-reuse always
frontend ingress
    bind 127.0.0.1:{port} backlog 4096
    option forwardfor
    http-request set-header X-Request-Id %[uuid()]
    http-request set-header X-Forwarded-Proto http
    default_backend app
backend app
    server origin 127.0.0.1:{origin_port} pool-max-conn 512
"""
