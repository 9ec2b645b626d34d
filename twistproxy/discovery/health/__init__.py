"""Active health checks (Envoy: arch_overview/upstream/health_checking).

They run once a machine, in the discovery process; what they find travels to the workers as flags of endpoints.
"""
