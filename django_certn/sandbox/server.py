"""The listening socket: one thread per connection, nothing logged."""

import socketserver
import sys
from typing import Any

from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

from django_certn.sandbox import BANNER, HEADER

__all__ = ["Server"]


class _RequestHandler(WSGIRequestHandler):
    # What cannot be read as HTTP is answered as HTTP 0.9 otherwise, which has no headers.
    default_request_version = "HTTP/1.0"

    def log_message(self, *args: Any) -> None:
        """Print nothing: a request line may hold what somebody pasted into the wrong place."""

    def end_headers(self) -> None:
        # Reached only by what the HTTP parser refuses before Django sees it (a broken request
        # line, say); the middleware marks all else.
        self.send_header(HEADER, BANNER)
        super().end_headers()


class Server(ThreadedWSGIServer):
    """An HTTP server on ``host`` and ``port``, listening as soon as it is made.

    Port 0 takes a free one; ``server_port`` says which. Raises ``OSError`` when it cannot listen.
    """

    # More callers at once than the default of 10 would be turned away until they knock again,
    # seconds later.
    request_queue_size = 256

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            (host, port),
            _RequestHandler,
            ipv6=":" in host,
            # On Windows it would let two sandboxes share a port, and callers get either.
            allow_reuse_address=sys.platform != "win32",
        )

    def server_bind(self) -> None:
        # Not HTTPServer's, which asks the resolver for the host's full name: seconds on a laptop
        # that is off-line.
        socketserver.TCPServer.server_bind(self)
        self.server_name = str(self.server_address[0])
        self.server_port = int(self.server_address[1])
        self.setup_environ()

    @property
    def url(self) -> str:
        """The address without a final slash, as ``base_url`` in the site's settings wants it."""
        host = f"[{self.server_name}]" if ":" in self.server_name else self.server_name
        return f"http://{host}:{self.server_port}"
