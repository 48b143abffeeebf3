"""What stands before every request: a key, an allowance, a size, a time; and before every reply.

The body is read whole, within its limits, before anything parses it. No message, and no line of a
log, holds anything of a request. An error that nobody expected is logged by its type alone.
"""

import asyncio
import logging
import math
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from discreet.service.access import Allowance, name_of

OPEN_PATHS = frozenset({"/health", "/openapi.json"})
"""What needs no key: both say the same to everybody."""
HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
"""Of every reply; no other site's page may read one, since no CORS header is among them."""
MOST_MARKS = 10_000
"""Commas and opening brackets of a body. Each value of a JSON text costs a hundred times its bytes
once it is an object, and again if it is wrong; a picture in base64 has none of these marks."""
_LOG = logging.getLogger(__name__)


def failure(
    status: int, message: str, code: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error in the shape that OpenAI's clients read."""
    kinds = {401: "authentication_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "invalid_request_error" if status < 500 else "server_error")
    error = {"message": message, "type": kind, "param": None, "code": code}
    return JSONResponse({"error": error}, status, headers)


class Shield:
    """Lets a request through to an app, or answers it."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: Mapping[str, str],
        allowance: Allowance,
        most_bytes: int,
        body_seconds: float,
    ) -> None:
        """Stand before an app.

        Args:
            app: What is protected.
            keys: Hash of each key, by its name.
            allowance: How often each may ask.
            most_bytes: Of a body.
            body_seconds: In which it has to be here.
        """
        self._app, self._keys, self._allowance = app, keys, allowance
        self._most_bytes, self._body_seconds = most_bytes, body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def reply(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message = {**message, "headers": [*message["headers"], *HEADERS]}
            await send(message)

        try:
            scope.setdefault("state", {})["key"] = self._check(scope)
            body = await self._body(receive)
            await self._app(scope, _replay(body, receive), reply)
        except _Refused as refused:
            await refused.reply(scope, receive, reply)
        except Exception as error:  # its text may hold what was sent, and the server would log it
            _LOG.error("A request failed: %s.", type(error).__name__)
            if not has_begun:
                text = "Expected to answer, but something broke. Ask again."
                await failure(500, text, "internal_error")(scope, receive, reply)

    def _check(self, scope: Scope) -> str | None:
        """Return the name of the key, or refuse a request: without one, too often or too large."""
        headers, name = Headers(scope=scope), None
        if scope["path"] not in OPEN_PATHS:
            kind, _, key = headers.get("authorization", "").partition(" ")
            name = name_of(key.strip(), self._keys) if kind.lower() == "bearer" else None
            if name is None:
                raise _Refused(
                    401,
                    "Expected a key that this service gave out, as 'Authorization: Bearer KEY', "
                    "got none. Ask whoever runs it for one.",
                    "invalid_api_key",
                    {"WWW-Authenticate": "Bearer"},
                )
            if wait := math.ceil(self._allowance.wait_seconds(name)):
                raise _Refused(
                    429,
                    f"Expected fewer requests a minute with this key. Ask again in {wait} s.",
                    "rate_limit_exceeded",
                    {"Retry-After": str(wait)},
                )
        told = headers.get("content-length", "0")
        if not told.isdecimal() or int(told) > self._most_bytes:
            raise self._too_large()
        return name

    async def _body(self, receive: Receive) -> bytes:
        """Return the whole body, or refuse what is too large or too slow."""
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(self._body_seconds):
                while (message := await receive())["type"] == "http.request":
                    parts.append(message.get("body", b""))
                    if sum(map(len, parts)) > self._most_bytes:
                        raise self._too_large()
                    if not message.get("more_body", False):
                        break
        except TimeoutError as error:
            text = f"Expected the whole request within {self._body_seconds:.0f} s. Send it again."
            raise _Refused(408, text, "timeout") from error
        body = b"".join(parts)
        if sum(map(body.count, (b",", b"[", b"{"))) > MOST_MARKS:
            raise self._too_large()
        return body

    def _too_large(self) -> "_Refused":
        return _Refused(
            413,
            f"Expected a request of at most {self._most_bytes} bytes and {MOST_MARKS} values, got "
            "a larger one. Send a smaller picture and fewer messages.",
            "request_too_large",
        )


class _Refused(Exception):
    """A request goes no further."""

    def __init__(
        self, status: int, message: str, code: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(code)
        self.reply = failure(status, message, code, headers)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return what hands out a body that was read, and then goes on as before."""
    left = [body]

    async def again() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return again
