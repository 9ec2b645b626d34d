"""Connections to one upstream host, kept and reused."""
