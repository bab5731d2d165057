"""Processes beside the tests' own, and a port at which they talk."""

import os
import socket
import sys

import torch

#: A fork has torch and the toolboxes at hand, which a process of its own
#: imports for ten seconds. What has talked to a GPU cannot be forked.
FORKS = sys.platform == 'linux' and not torch.cuda.is_available()
START = dict(start_method='fork' if FORKS else 'spawn')


def free_port() -> str:
    """Find a free one below those that the system gives away by itself.

    One of its own choice may go to any other connection before the
    processes have started. Test processes have neighbouring numbers, so these
    are spread.
    """
    first = 20000 + os.getpid() * 97 % 8000
    for port in range(first, 32768):
        with socket.socket() as s:
            try:
                s.bind(('127.0.0.1', port))
            except OSError:
                continue
            return str(port)
    raise RuntimeError(f'no free port from {first} to 32767')
