"""The pages in this process: the same parts as `discreet demo`, of which each hop can be read.

A demo in a process of its own (`conftest`) shows what people get. What reaches the perceiver, the
prompt and the engine can only be read from inside.
"""

import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from PIL.Image import Image

from discreet.assistant import Assistant, Notes, load_policy
from discreet.cli.chat import CONTEXT_OF, shipped_notes
from discreet.cli.demo import SETTINGS
from discreet.consent import ConsentStore
from discreet.erasure import erase_visit
from discreet.journal import Journal
from discreet.model import Answer, Enough, Request, Vlm, load
from discreet.perception import estimator
from discreet.service import Engine, Visit, names_of
from discreet.types import Domain, Language, Percept
from tests.loops import run
from tests.service.conftest import serving

LANGUAGES: tuple[Language, ...] = ("en", "fr")


@dataclass
class Eyes:
    """The shipped perceiver, which says what it was asked for and what it saw."""

    asked: list[list[str]] = field(default_factory=list)
    seen: list[Image] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.perceiver = estimator("small").load()

    def perceive(self, image: Image, attributes: Collection[str]) -> Percept:
        self.asked.append(sorted(attributes))
        self.seen.append(image)
        return self.perceiver.perceive(image, attributes)  # type: ignore[arg-type]


@dataclass
class Pen:
    """Writes as a trained responder would: the note of the prompt, word by word.

    `tiny` has random weights, of which the guard lets nothing through; a page would show no word
    before the last.
    """

    asked: list[Request] = field(default_factory=list)
    words: int | None = None
    """How many it writes before it waits for `go_on`; None writes to the end."""
    go_on: threading.Event = field(default_factory=threading.Event)

    def answer_all(self, vlm: Vlm, requests: Sequence[Request]) -> list[Answer]:
        self.asked += requests
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Answer:
        prompt = request.messages[-1]["content"]
        text = next(note for note in self.notes if note in prompt)
        with suppress(Enough):
            for place, word in enumerate(text.split(" ")):
                if place == self.words:
                    assert self.go_on.wait(30)
                if request.on_text is not None:
                    request.on_text(f"{word} ")
        return Answer(text=text, tokens=len(text.split()), ended="stop")

    @property
    def notes(self) -> list[str]:
        return [note.text for note in shipped_notes("en")]


@dataclass
class Stage:
    """A demo of which every hop can be read."""

    address: str
    engine: Engine
    journal: Journal
    eyes: Eyes
    visits: list[Visit]

    @contextmanager
    def full(self) -> Iterator[Callable[[], None]]:
        """Let others be answered, so that whoever asks waits; yields what sends them home."""
        home = threading.Event()
        others = [self.engine.submit(lambda show: home.wait(60)) for _ in range(2)]
        yield home.set
        home.set()
        for other in others:
            other.result(60)


@contextmanager
def staged(context: Domain, folder: Path) -> Iterator[Stage]:
    """Serve a demo from this process, two turns at once, answers shown as they are written."""
    os.environ.update(SETTINGS, GRADIO_TEMP_DIR=str(folder))
    from discreet.pages import BASE, Model, build_app

    policy = load_policy(CONTEXT_OF[context])
    eyes, visits = Eyes(), list[Visit]()
    notes = {spoken: Notes.build(shipped_notes(spoken), find="words") for spoken in LANGUAGES}
    english = Assistant(
        vlm=load("tiny"), policy=policy, notes=notes["en"], perceiver=eyes, drafts=1
    )
    journal = Journal(folder / "journal", names=names_of([policy], [BASE]))
    store = ConsentStore(folder / "consent")
    with Engine(english, replace(english, notes=notes["fr"]), at_once=2) as engine:

        def open_visit(spoken: Language) -> Visit:
            visits.append(Visit(engine, consents=store, journal=journal, language=spoken))
            return visits[-1]

        app = built(
            lambda: build_app(
                context,
                open_visit=open_visit,
                erase=partial(erase_visit, consents=store, journal=journal),
                models=(Model(name=BASE),),
            )
        )
        with serving(app) as address:
            yield Stage(address, engine, journal, eyes, visits)
    store.close()


def built(build: Callable[[], FastAPI]) -> FastAPI:
    """Return an application; without a loop Gradio makes one and leaves it open, so it gets one."""

    async def inside() -> FastAPI:
        return build()

    return run(inside())


LISTEN = """
window.heard = [];
window.joined = window.ended = 0;
const mark = '"process_completed"';
const ask = window.fetch;
window.fetch = async (...given) => {
  if (String(given[0]).includes("queue/join")) window.joined += 1;
  window.heard.push(String((given[1] || {}).body || ""));
  const reply = await ask(...given);
  const [mine, theirs] = reply.body ? reply.body.tee() : [null, null];
  if (mine) (async () => {
    const words = new TextDecoder();
    let rest = "";
    for (const reader = mine.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) return;
      const text = words.decode(value, { stream: true });
      window.heard.push(text);
      const parts = (rest + text).split(mark);
      window.ended += parts.length - 1;
      rest = parts.pop().slice(-mark.length);
    }
  })().catch(() => {});
  return new Response(theirs, reply);
};
for (const name of ["EventSource", "WebSocket"]) {
  const Made = window[name];
  window[name] = class extends Made {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", (told) => window.heard.push(String(told.data)));
    }
    send(data) { window.heard.push(String(data)); super.send(data); }
  };
}
"""
"""A script for a page: whatever it sends and is sent goes into `window.heard`, while it comes;
`joined` counts what the page asked the server to do, `ended` what of it is done."""
