"""Both languages of a demo as one web application, and what of it the network may ask for.

Only what the pages need is answered: no upload, no file, no page of programming interfaces. The
browser is told to load from nowhere else.
"""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from discreet.erasure import Receipt
from discreet.pages.models import Model
from discreet.pages.page import build_page
from discreet.pages.pictures import as_address
from discreet.pages.sessions import Sessions, remember_little
from discreet.pages.texts import load_texts
from discreet.pages.views import View
from discreet.service import Visit
from discreet.types import Domain, Language

HERE = Path(__file__).parent
LANGUAGES: tuple[Language, ...] = ("en", "fr")
MOST_BYTES = 3_000_000
"""Of one request: a question with a small picture."""
_OPEN = re.compile(
    r"^/(favicon\.ico|(en|fr)/("
    r"(config|theme\.css|favicon\.ico|manifest\.json|(assets|static|svelte)/.*)?"
    r"|gradio_api/(queue/(join|data)|heartbeat/[a-z0-9]+|cancel|reset|startup-events|theme\.css"
    r"|(assets|static)/.*)"
    r"))?$"
)
"""What is answered; the rest is not found."""
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

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><path fill="#17625a" '
    'd="M6 4h20a4 4 0 0 1 4 4v12a4 4 0 0 1-4 4H15l-7 6v-6H6a4 4 0 0 1-4-4V8a4 4 0 0 1 4-4z"/></svg>'
)


def build_app(
    context: Domain,
    *,
    open_visit: Callable[[Language], Visit],
    erase: Callable[[Visit], Receipt],
    models: tuple[Model, ...],
    people: tuple[bytes, ...] = (),
    language: Language | None = None,
    country: str | None = None,
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost"),
) -> FastAPI:
    """Return the pages of a demo, ready to be served.

    Args:
        context: What the assistant talks about.
        open_visit: Returns a visit of somebody new.
        erase: Erases a visitor everywhere; tried again where something failed.
        models: Which may answer; the last one does until somebody switches.
        people: JPEGs of people who do not exist, to try pictures with.
        language: Where a visit begins; that of the browser by default.
        country: Two letters; whose emergency numbers are said and whose age of consent is asked by.
            By default no country's numbers, the age of France in French, and elsewhere the age
            where a country set nothing lower.
        hosts: Names by which a browser may call this machine.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(_Door)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))

    @app.get("/favicon.ico")
    def icon() -> Response:
        return Response(_ICON, media_type="image/svg+xml")

    @app.get("/")
    def first(request: Request) -> RedirectResponse:
        accepted = request.headers.get("accept-language", "").lower()
        spoken = language or ("fr" if accepted.startswith("fr") else "en")
        return RedirectResponse(f"/{spoken}/?first")

    addresses = tuple(as_address(jpeg) for jpeg in people)
    for spoken in LANGUAGES:
        view = View(
            context=context,
            language=spoken,
            texts=load_texts(spoken),
            people=addresses,
            country=country or "",
        )
        sessions = Sessions()
        page = build_page(view, models, partial(open_visit, spoken), erase, sessions)
        _mount(app, view, page, sessions)
    return app


def serve(app: FastAPI, *, host: str, port: int, ready: Callable[[], None]) -> None:
    """Serve until the process is asked to end; nothing is logged of who asks for what."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    ready()
    server.run()


def _mount(app: FastAPI, view: View, page: gr.Blocks, sessions: Sessions) -> None:
    gr.mount_gradio_app(
        app,
        page,
        path=f"/{view.language}",
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        show_error=False,
        max_file_size=1,
        theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
        head=_head(view),
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
    )
    remember_little(app, page, sessions)


def _head(view: View) -> str:
    t = view.texts
    says = {
        "language": view.language,
        "context": view.context,
        "title": t["page.title"].format(context=t[f"page.{view.context}"]),
        "main": t["page.main"],
        "panel": t["page.panel"],
        **{
            f"picture_{kind}": t[f"compose.picture_{kind}"]
            for kind in ("camera", "photo", "person")
        },
    }
    script = (HERE / "page.js").read_text(encoding="utf-8")
    style = (HERE / "style.css").read_text(encoding="utf-8")
    return (
        f"<style>{style}</style>"
        f"<script>window.discreetSays = {json.dumps(says)};\n{script}</script>"
    )


class _Door:
    """Answers what the pages need, and sends each answer with rules for the browser."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        is_known = length.isdigit() and b"transfer-encoding" not in headers
        if not _OPEN.match(scope["path"]) or not is_known or int(length) > MOST_BYTES:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b"Not found."})
            return

        async def send_with_rules(message: Message) -> None:
            if message["type"] == "http.response.start":
                raw = [(k, v) for k, v in message["headers"] if k.decode().lower() not in _HEADERS]
                rules = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                if "/assets/" in scope["path"]:  # Gradio's own code, named by its hash
                    rules[-1] = (b"cache-control", b"max-age=86400")
                message = {**message, "headers": [*raw, *rules]}
            await send(message)

        await self._app(scope, receive, send_with_rules)
