"""The frozen description of a configuration that the run time is built from.  No protobuf, no I/O."""
