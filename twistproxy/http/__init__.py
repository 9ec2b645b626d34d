"""The meaning of HTTP messages, without state and without I/O: heads, header lists, status codes, paths, dates."""
