"""Where endpoints come from: DNS, files, the v1 SDS REST API, Kubernetes.  Runs in the discovery process.

`service.DiscoveryService` runs one source for each cluster (`dns`, `eds_file`, `v1_sds`).  A source tells
`source.ClusterUpdates`, which counts and puts the endpoints into the `snapshot.EndpointStore`; the store's
changes go through `fanout` to the workers.

`sds_server` is a program of its own, `twistproxy sds`: the other end of `v1_sds`.  `registry_server` answers
from a `registry.Registry`, which is either a file (`registry_file`) or a Kubernetes cluster (`kubernetes`).
"""

# Before any of Envoy's protos: it completes them.
import twistproxy.config  # noqa: F401
