"""The address that a server of the command line listens on."""

from __future__ import annotations

import errno
import socket

from ..errors import HostUnavailable

__all__ = ["address_of", "listen"]


def listen(host: str, port: int) -> socket.socket:
    """Bind before anything is said, so that a port in use is an error and not a page that never comes."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host.strip("[]"), port))
        listening.listen(128)  # from here on a browser waits instead of being refused
    except OSError as error:
        listening.close()
        other_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
        advice = "choose another with --port, or 0 for any" if other_port else (
            "--host must be an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them"
        )
        raise HostUnavailable(
            f"cannot listen on {host} port {port}: {error.strerror or error}; {advice}"
        ) from error
    return listening


def address_of(host: str, port: int, token: str = "") -> str:
    """Return where a server is reached, with the token in it where there is one."""
    if host in ("0.0.0.0", "::"):
        name = socket.gethostname()  # reached by any of this machine's names; its own is the best guess
    else:
        name = f"[{host.strip('[]')}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")
