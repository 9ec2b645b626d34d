"""HTTP filters, one per file, unaware of each other.  The last one of a chain is the router."""
