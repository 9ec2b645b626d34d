"""Parity tests: the same configuration and the same bytes on real Envoy and on twistproxy."""
