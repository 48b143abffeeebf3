"""Both languages of a demo as one web application."""

import json
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response

from discreet.erasure import Receipt
from discreet.pages.door import Door
from discreet.pages.models import Model
from discreet.pages.page import build_page
from discreet.pages.pictures import as_address
from discreet.pages.sessions import Sessions, remember_little
from discreet.pages.texts import load_texts
from discreet.pages.views import View
from discreet.service import ImpatientProtocol, Visit
from discreet.types import Domain, Language

HERE = Path(__file__).parent
LANGUAGES: tuple[Language, ...] = ("en", "fr")
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
    names: Collection[str] = (),
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
        names: By which a browser may call this machine, beside its addresses and `localhost`.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Door, names=names)

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
        http=ImpatientProtocol,
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
