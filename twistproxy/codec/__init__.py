"""Bytes to messages and back on one connection.  The only package that knows a parser library."""
