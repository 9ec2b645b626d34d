"""Envoy's admin pages, served by the master from what the workers report."""
