"""One request with its response, and its walk through the filter chain."""
