"""Request to decision: virtual host lookup, route matching, rewrites.  Pure."""
