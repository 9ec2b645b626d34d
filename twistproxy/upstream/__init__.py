"""Whom to talk to: clusters, hosts, load balancers, connection pools."""
