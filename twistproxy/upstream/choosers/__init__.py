"""How a cluster chooses a host for a request: `make.make_chooser` → a `base.Chooser`, which `Cluster.choose` asks.

What happens within one set of hosts that are all as good is the business of `upstream.lb`.
"""
