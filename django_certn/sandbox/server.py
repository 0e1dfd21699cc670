"""The listening socket: one thread per connection, nothing logged."""

import socketserver
import sys
import tempfile
from typing import IO, TYPE_CHECKING, Any, cast

from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

from django_certn.sandbox import BANNER, HEADER

if TYPE_CHECKING:
    from io import BytesIO

__all__ = ["Server"]

# Bytes. Up to here a body that comes in pieces is kept in memory, and from here in a file.
_IN_MEMORY = 1024 * 1024
_LONGEST_LINE = 64 * 1024


class _RequestHandler(WSGIRequestHandler):
    # What cannot be read as HTTP is answered as HTTP 0.9 otherwise, which has no headers.
    default_request_version = "HTTP/1.0"

    def log_message(self, *args: Any) -> None:
        """Print nothing: a request line may hold what somebody pasted into the wrong place."""

    def handle_one_request(self) -> None:
        connection = self.rfile
        super().handle_one_request()
        if self.rfile is not connection:
            self.rfile.close()
            self.rfile = connection

    def parse_request(self) -> bool:
        """Read a body of unknown length too, as a client sends that streams an upload.

        Django's server knows Content-Length alone, and would take the pieces for the next request.
        """
        if not super().parse_request():
            return False
        if self.headers.get("Transfer-Encoding", "").strip().lower() != "chunked":
            return True
        body = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed with the request
        try:
            _read_pieces(self.rfile, body)
        except ValueError:
            body.close()
            self.close_connection = True
            self.send_error(400, "Bad chunked body")
            return False
        del self.headers["Transfer-Encoding"]
        del self.headers["Content-Length"]
        self.headers["Content-Length"] = str(body.tell())
        body.seek(0)
        self.rfile = cast("BytesIO", body)
        return True

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


def _read_pieces(source: IO[bytes], target: IO[bytes]) -> None:
    """Undo "chunked" (RFC 9112, 7.1); raises ``ValueError`` when it is something else."""
    while size := int(source.readline(_LONGEST_LINE).partition(b";")[0], 16):
        while size > 0:
            piece = source.read(min(size, _IN_MEMORY))
            if not piece:
                raise ValueError("The connection ended halfway.")
            target.write(piece)
            size -= len(piece)
        if source.readline(_LONGEST_LINE) != b"\r\n":
            raise ValueError("A piece is longer than it said.")
    # Trailers, up to the empty line.
    while source.readline(_LONGEST_LINE) not in (b"\r\n", b""):
        pass
