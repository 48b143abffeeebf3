"""The HTTP interface: OpenAI's chat completions over visits, and consent beside them.

Nothing of a request is kept but what the journal and the consent store keep, neither of which holds
words or pictures. Every reply of ours that is no success has OpenAI's shape; none repeats what was
sent. There is no page here (`pages`), and no way for another site's page to ask.

    keys = read_keys(path)
    app = build_app(engine, consents=consents, journal=journal, keys=keys)
    serve(app, host="127.0.0.1", port=8000)
"""

import resource
from collections.abc import Mapping
from typing import Any

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from discreet.consent import ConsentStore
from discreet.errors import DiscreetError
from discreet.journal import Journal
from discreet.service import forms
from discreet.service.access import Allowance
from discreet.service.agreements import Agreements
from discreet.service.chat import Chats, refusal
from discreet.service.connections import ImpatientProtocol
from discreet.service.engine import Engine
from discreet.service.shield import Shield, failure

MOST_BYTES = 12 * 2**20
"""Of a request: one picture in base64, and words."""
BODY_SECONDS = 15.0
PER_MINUTE = 60
"""Requests of one key, and as many at once."""
MOST_CONNECTIONS = 256
GRACE_SECONDS = 2
"""For answers that are being written when the service is told to end."""
_FAILED: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": forms.Failed},
    "5XX": {"model": forms.Failed},
}
_FIELDS = {
    name
    for form in vars(forms).values()
    if isinstance(form, type) and issubclass(form, BaseModel)
    for name in form.model_fields
}


def build_app(
    engine: Engine,
    *,
    consents: ConsentStore,
    journal: Journal,
    keys: Mapping[str, str],
    promises: Mapping[str, str] | None = None,
    per_minute: int = PER_MINUTE,
) -> FastAPI:
    """Return the interface, for any ASGI server.

    Args:
        engine: Who answers.
        consents: Where consent is kept.
        journal: Where what happened is kept.
        keys: Hash of each key that may ask, by its name (`read_keys`).
        promises: What training of an adapter spent, by its name; all four parts.
        per_minute: Requests of one key.
    """
    app = FastAPI(
        title="discreet", version="1", docs_url=None, redoc_url=None, redirect_slashes=False
    )
    chats = Chats(engine, consents, journal, promises or {})
    app.include_router(_routes(chats, Agreements(chats)))
    app.add_api_route("/health", _health, methods=["GET"], responses=_FAILED)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _elsewhere)
    app.add_exception_handler(DiscreetError, _refused)
    app.add_exception_handler(ValueError, _refused)
    app.add_middleware(
        Shield,
        keys=keys,
        allowance=Allowance(per_minute),
        most_bytes=MOST_BYTES,
        body_seconds=BODY_SECONDS,
    )
    return app


def serve(app: FastAPI, *, host: str, port: int) -> None:
    """Answer requests until the process is told to end; no request is logged.

    No core is dumped either: it would hold the words and pictures of whoever is being answered.
    """
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))
    uvicorn.run(
        app,
        host=host,
        port=port,
        http=ImpatientProtocol,
        access_log=False,
        log_level="warning",
        server_header=False,
        ws="none",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def _routes(chats: Chats, agreements: Agreements) -> APIRouter:
    key = [Depends(HTTPBearer(auto_error=False))]
    routes = APIRouter(prefix="/v1", dependencies=key, responses=_FAILED)
    add = routes.add_api_route
    add("/models", chats.models, methods=["GET"])
    add("/models/{name}", chats.model, methods=["GET"], response_model=forms.Model)
    add("/chat/completions", chats.complete, methods=["POST"], response_model=forms.Completion)
    add("/notice", agreements.notice, methods=["GET"])
    agreed = forms.Agreed
    add("/consents", agreements.give, methods=["POST"], response_model=agreed, status_code=201)
    add("/consents/export", agreements.export, methods=["POST"])
    add("/consents/erase", agreements.erase, methods=["POST"], response_model=agreed)
    add("/consents/withdraw", agreements.withdraw, methods=["POST"], response_model=agreed)
    return routes


def _health() -> forms.Health:
    """Say that the service is there."""
    return forms.Health()


async def _malformed(request: Request, error: Exception) -> Response:
    """Say where a request is not as it should be, by names of ours; what was sent is not said."""
    assert isinstance(error, RequestValidationError)
    deepest = max(error.errors(), key=lambda found: len(found["loc"]))
    place = ".".join(str(part) for part in deepest["loc"] if part in _FIELDS or type(part) is int)
    text = f"Expected a request as /openapi.json has it, got {deepest['type']} at '{place}'."
    return failure(400, text, "malformed")


async def _elsewhere(request: Request, error: Exception) -> Response:
    """Say that there is nothing here, or not in this way."""
    assert isinstance(error, HTTPException)
    text = "Expected a path and a method that /openapi.json has, and a body that can be read."
    return failure(error.status_code, text, "not_found", error.headers)


async def _refused(request: Request, error: Exception) -> Response:
    return refusal(error)
