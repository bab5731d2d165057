"""A port for processes that talk to each other."""

import os
import socket


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
