"""Load tests: twistproxy and its peers side by side, each on one core with equal work.

`python -m loadtests` measures (see README.md beside this file), `python -m loadtests.chaos` counts what
clients lose while twistproxy is reloaded and its processes are killed.  Nothing here imports `twistproxy`: it
is driven from outside, as any other proxy is, through its command line and its sockets.
"""
