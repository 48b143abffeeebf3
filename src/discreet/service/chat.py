"""Chat completions: a request becomes a visit, its answer becomes what OpenAI's clients read.

Each request is a visit of its own, which is gone when it is answered.
"""

import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from PIL.Image import Image

from discreet.assistant import Exchange, is_emergency
from discreet.consent import ConsentStore
from discreet.errors import DiscreetError, LineFull, NotLogged, NotStored, Stopped, StoreInUse
from discreet.journal import Journal
from discreet.model import Vlm
from discreet.service import forms
from discreet.service.engine import Engine, Ticket
from discreet.service.pictures import open_data_uri
from discreet.service.shield import failure
from discreet.service.stream import follow
from discreet.service.visit import Visit
from discreet.types import Language

_SECONDS: dict[type[Exception], str] = {
    LineFull: "20",
    NotLogged: "60",
    NotStored: "60",
    Stopped: "5",
    StoreInUse: "5",
}


@dataclass(frozen=True, slots=True)
class Chats:
    """Who answers requests, and under which names."""

    engine: Engine
    consents: ConsentStore
    journal: Journal
    promises: Mapping[str, str]
    """What training of an adapter spent, by its name: epsilon, delta, unit and neighbours."""
    _pictures: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))
    """One is unpacked at a time, since forty megapixels take 120 MB; no other request waits."""

    async def models(self) -> forms.Models:
        """List who may answer: the base alone, and with each adapter."""
        names = self.engine.adapters
        listed = [forms.Model(id=n, created=0, privacy=self.promises.get(n)) for n in names]
        return forms.Models(data=listed)

    async def model(self, name: forms.Name) -> Response:
        """Say whether somebody of this name may answer."""
        found = [model for model in (await self.models()).data if model.id == name]
        return JSONResponse(found[0].model_dump()) if found else _no_model()

    async def complete(self, asked: forms.Chat, request: Request) -> Response:
        """Answer the last message, whole or as server-sent events."""
        try:
            urgent = is_emergency(asked.question)
            image = None
            if asked.model not in self.engine.adapters:
                if not urgent:
                    return _no_model()
                asked = asked.model_copy(update={"model": self.engine.adapters[0]})
            if not urgent and (picture := asked.picture) is not None:
                image = await to_thread.run_sync(open_data_uri, picture, limiter=self._pictures)
            key: str | None = request.state.key
            visit, ticket = await to_thread.run_sync(self._begin, asked, image, urgent, key)
            if asked.stream:
                events = self._events(asked, visit, ticket, request)
                return StreamingResponse(events, media_type="text/event-stream")
            async with aclosing(follow(ticket, request.is_disconnected)) as told:
                async for _ in told:
                    pass
            whole = self._whole(asked, visit, ticket.result(0))
            return JSONResponse(whole.model_dump(mode="json"))
        except (DiscreetError, ValueError) as error:
            return refusal(error)

    def _begin(
        self, asked: forms.Chat, image: Image | None, urgent: bool, key: str | None
    ) -> tuple[Visit, Ticket[Exchange]]:
        """Return a visit that has asked; see `_in_danger` for what holds there."""
        if urgent:
            return self._in_danger(asked, key)
        person = asked.discreet
        visit = self.visit(person.language, person.purpose, person=person.consent, key=key)
        if visit.standing == "adult":  # an id for which a guardian answered is a child's
            visit.tell_age(person.standing)
        for name, value in person.profile.items():
            visit.declare(name, value)
        return visit, visit.ask(asked.question, image, adapter=asked.model, mode=person.mode)

    def _in_danger(self, asked: forms.Chat, key: str | None) -> tuple[Visit, Ticket[Exchange]]:
        """Return a visit that has asked; nothing that a request says beside can be wrong.

        It is written down of nobody: how old they are, and what they agreed to, is not looked at.
        """
        spoken = asked.discreet.language
        known = spoken if spoken in self.engine.assistants else None
        visit = self.visit(known, person=None, key=key)
        visit.standing = "child"  # the most protective
        return visit, visit.ask(asked.question, adapter=asked.model)

    def visit(
        self,
        language: Language | None,
        purpose: str | None = None,
        *,
        person: str | None,
        key: str | None = None,
    ) -> Visit:
        """Return a visit of somebody, for whom somebody else asks with a key."""
        first, *_ = self.engine.assistants
        return Visit(
            self.engine,
            consents=self.consents,
            journal=self.journal,
            language=language or first,
            purpose=purpose,
            person=person,
            method="request",
            key=key,
        )

    async def _events(
        self, asked: forms.Chat, visit: Visit, ticket: Ticket[Exchange], request: Request
    ) -> AsyncIterator[str]:
        """Yield the answer as it is written, or the error that ended it."""
        head = {
            "id": _new_id(),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": asked.model,
        }
        yield _event(head, {"role": "assistant", "content": ""})
        try:
            async with aclosing(follow(ticket, request.is_disconnected)) as told:
                async for new in told:
                    if isinstance(new, str):
                        yield _event(head, {"content": new})
                    else:
                        yield _event(head, {}, discreet={"place": new})
            whole = self._whole(asked, visit, ticket.result(0))
        except Exception as error:  # the head is sent: what follows can only be an event
            yield f"data: {bytes(refusal(error).body).decode()}\n\n"
            return
        yield _event(head, {}, finish="stop", discreet=whole.discreet.model_dump(mode="json"))
        if asked.stream_options is not None and asked.stream_options.include_usage:
            yield _line({**head, "choices": [], "usage": whole.usage.model_dump()})
        yield "data: [DONE]\n\n"

    def _whole(self, asked: forms.Chat, visit: Visit, done: Exchange) -> forms.Completion:
        vlm = self.engine.assistants[visit.language].vlm
        read, written = _tokens(vlm, done.question), _tokens(vlm, done.reply.text)
        return forms.Completion(
            id=_new_id(),
            created=int(time.time()),
            model=asked.model,
            choices=[forms.Choice(message=forms.Said(content=done.reply.text))],
            usage=forms.Usage(
                prompt_tokens=read, completion_tokens=written, total_tokens=read + written
            ),
            discreet=forms.Reasons(
                why={**asdict(done.why), "in_words": done.why.in_words(visit.language)}
            ),
        )


def refusal(error: Exception) -> Response:
    """Return what is said of an error; a text that is not ours may hold what was sent."""
    code, status = type(error).__name__, 400
    if type(error) in _SECONDS:
        status = 429 if isinstance(error, LineFull) else 503
        return failure(status, str(error), code, {"Retry-After": _SECONDS[type(error)]})
    text = str(error)
    if not isinstance(error, DiscreetError | ValueError):
        text, status, code = "Expected to answer, but something broke. Ask again.", 500, "internal"
    elif not text.startswith("Expected") and not isinstance(error, DiscreetError):
        text = "Expected a request that can be answered, got another. See /openapi.json."
    return failure(status, text, code)


def _no_model() -> Response:
    text = "Expected a model that GET /v1/models names, got another."
    return failure(404, text, "model_not_found")


def _tokens(vlm: Vlm, text: str) -> int:
    return len(vlm.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _new_id() -> str:
    return f"chatcmpl-{uuid.uuid4().hex}"


def _event(
    head: Mapping[str, Any],
    delta: Mapping[str, str],
    *,
    finish: str | None = None,
    discreet: Mapping[str, Any] | None = None,
) -> str:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    ours = {} if discreet is None else {"discreet": discreet}
    return _line({**head, "choices": [choice], **ours})


def _line(event: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n"
