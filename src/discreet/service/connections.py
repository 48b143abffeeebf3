"""Connections that nobody may hold without asking something.

A server takes so many connections at once. Who opens one and sends nothing, or a byte now and then,
would keep one from everybody else, without a key. uvicorn has a time limit between requests and
none for the first one, or for the head of one; this one adds it. A body has its own (`shield`).

    uvicorn.Config(app, http=ImpatientProtocol)
"""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""In which the head of a request has to be here; up to three times that where one came before."""


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 that hangs up where no request comes."""

    head_seconds = HEAD_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, and look from time to time whether it is used."""
        super().connection_made(transport)
        self.loop.call_later(self.head_seconds, self._look, None)

    def _look(self, idle_since: object) -> None:
        """Hang up if nothing was asked since the last look, and look again if not."""
        if self.transport.is_closing():
            return
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and self.cycle is idle_since:
            self.transport.close()
            return
        seen = self.cycle if is_idle else self  # which is no request
        self.loop.call_later(self.head_seconds, self._look, seen)
