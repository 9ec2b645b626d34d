"""The words that our processes speak with each other.  Sans-I/O: bytes in, messages out."""
