"""The border between files and the run time: YAML, JSON and v1 JSON to Envoy messages, messages to `model`."""

from twistproxy.config.newer_protos import install

install()
