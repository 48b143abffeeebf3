"""What of a demo the network may ask for, by which names, and what the browser is told.

Only what the pages need is answered: no upload, no file, no page of programming interfaces. The
browser is told to load from nowhere else.
"""

import re
from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 3_000_000
"""Of one request: a question with a small picture."""
_OPEN = re.compile(
    r"^/(favicon\.ico|(en|fr)/("
    r"(config|theme\.css|favicon\.ico|manifest\.json|(assets|static|svelte)/.*)?"
    r"|gradio_api/(queue/(join|data)|heartbeat/[a-z0-9]{1,32}|cancel|reset|startup-events|theme\.css"
    r"|(assets|static)/.*)"
    r"))?$"
)
"""What is answered; the rest is not found."""
_SESSION = re.compile(rb"(?!.*session_hash)|session_hash=[a-z0-9]{1,32}$")
"""A page names itself shortly, and says nothing else there."""
_HEADERS = {
    "content-security-policy": "default-src 'self'; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; media-src 'self' blob:; object-src 'none'; base-uri 'self'; "
    "form-action 'none'; frame-ancestors 'none'",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class Door:
    """Answers what the pages need, and sends each answer with rules for the browser."""

    def __init__(self, app: ASGIApp, *, names: Collection[str] = ()) -> None:
        """Open the door of an application to whoever calls it by an address or by a name of it."""
        self._app = app
        self._given = {name.lower() for name in names}
        self._names = {"localhost", *self._given}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it; the pages need no web socket."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        host, origin = (headers.get(name, b"").decode("latin-1") for name in (b"host", b"origin"))
        if b"origin" in headers and not self._is_own(origin, host):
            await _refuse(send, 403, b"Not asked by this page.")
            return
        if not self._is_called(host):
            await _refuse(send, 400, b"Not called by a name of this page: --name adds one.")
            return
        length = headers.get(b"content-length", b"0")
        is_known = length.isdigit() and b"transfer-encoding" not in headers
        asks = _OPEN.match(scope["path"]) and _SESSION.match(scope["query_string"])
        if not asks or not is_known or int(length) > MOST_BYTES:
            await _refuse(send, 404, b"Not found.")
            return

        async def send_with_rules(message: Message) -> None:
            if message["type"] == "http.response.start":
                raw = [(k, v) for k, v in message["headers"] if not _is_ours(k.decode().lower())]
                rules = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                if "/assets/" in scope["path"]:  # Gradio's own code, named by its hash
                    rules[-1] = (b"cache-control", b"max-age=86400")
                message = {**message, "headers": [*raw, *rules]}
            await send(message)

        await self._app(scope, receive, send_with_rules)

    def _is_own(self, origin: str, host: str) -> bool:
        """Tell whether a page of this demo asks; a proxy before it may call it by another name."""
        asking, called = _place(urlsplit(origin).netloc), _place(host)
        return asking != "" and (asking == called or asking in self._given)

    def _is_called(self, host: str) -> bool:
        """Tell whether a browser called this page, and not a page of others that points here.

        For that such a page needs a name of its own; an address belongs to this machine.
        """
        name = re.sub(r":\d*$", "", host).lower()
        return name in self._names or _is_address(name.removeprefix("[").removesuffix("]"))


def _is_ours(header: str) -> bool:
    """Tell whether a header is set here, or nowhere: no other page may read what is answered."""
    return header in _HEADERS or header.startswith("access-control-")


def _place(called: str) -> str:
    """Return host and port as both are compared: a browser leaves out what the scheme implies."""
    return re.sub(r":(80|443)$", "", called.lower())


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


async def _refuse(send: Send, status: int, words: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": words})
