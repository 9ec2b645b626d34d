"""Test doubles that pass the same conformance tests as the real thing.  Production code never imports them."""
