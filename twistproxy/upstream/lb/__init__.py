"""Load balancing policies, one per file, unaware of each other."""
