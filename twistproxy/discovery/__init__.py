"""Where endpoints come from: DNS, files, the v1 SDS REST API, Kubernetes.  Runs in the discovery process."""
