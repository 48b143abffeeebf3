"""One demo in one language as Gradio blocks: its parts, wired to its acts."""

from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr

from discreet.erasure import Receipt
from discreet.pages.acts import Acts
from discreet.pages.ended import unless_ended
from discreet.pages.guests import Guests
from discreet.pages.models import Model
from discreet.pages.parts import Parts, lay_out
from discreet.pages.sessions import Sessions
from discreet.pages.views import View
from discreet.service import Visit

MOST_ACTS = 1_000
"""Going on at once; an answer that is waited for is one."""
_PICTURE = "(...given) => { given[given.length - 1] = discreet.frame(); return given; }"
_FOLLOW = "() => discreet.follow(true)"
_WHY = "() => discreet.reveal('why-section')"
_OFF = "() => discreet.off()"
_YOUNG = "(said) => { if (['child', 'youth'].includes(said)) discreet.off(); return said; }"


def build_page(
    view: View,
    models: tuple[Model, ...],
    open_visit: Callable[[], Visit],
    erase: Callable[[Visit], Receipt],
    sessions: Sessions,
) -> gr.Blocks:
    """Return a page; each visitor gets a visit of their own from `open_visit`."""
    with gr.Blocks(
        title=view.texts["page.title"].format(context=view.texts[f"page.{view.context}"]),
        analytics_enabled=False,
        fill_width=True,
    ) as page:
        parts = lay_out(view, models)
        guests = Guests(open_visit, models[-1].name)
        acts = Acts(view=view, parts=parts, models=models, erase=erase, guests=guests)
        _wire(page, parts, acts, sessions)
    page.max_threads = MOST_ACTS  # many more than wait in the engine's line, which is the only one
    page.queue(default_concurrency_limit=None, max_size=MOST_ACTS, api_open=False)
    built: gr.Blocks = page
    return built


def _wire(page: gr.Blocks, parts: Parts, acts: Acts, sessions: Sessions) -> None:
    every = [getattr(parts, name) for name in Parts.__slots__]
    quiet: dict[str, Any] = {
        "outputs": every,
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    own = partial(unless_ended, anew=acts.anew)
    page.load(acts.enter, **quiet)
    page.unload(_leaving(acts, sessions))
    asked = {"inputs": [parts.question, parts.picture], "js": _PICTURE, **quiet}
    gr.on([parts.ask.click, parts.question.submit], own(acts.ask), **asked)
    parts.talk.suggest(own(acts.suggest), inputs=[parts.picture], js=_PICTURE, **quiet)
    for listen, act in (
        (parts.talk.retry, acts.retry),
        (parts.talk.edit, acts.edit),
        (parts.talk.clear, acts.clear),
        (parts.why.reject, acts.reject),
        (parts.stop.click, acts.stop),
        (parts.cancel.click, acts.cancel),
        (parts.refuse.click, acts.refuse),
        (parts.export.click, acts.export),
        (parts.talk.enlarge, acts.enlarge),
    ):
        listen(own(act), **quiet)
    parts.talk.why(own(acts.why), **quiet).then(None, js=_WHY)
    parts.why.correct(own(acts.correct), **quiet)
    parts.withdraw.click(own(acts.withdraw), js=_OFF, **quiet)
    parts.forget.click(own(acts.forget), js=_OFF, **quiet)
    for chosen, choose in (
        (parts.reading, acts.declare_reading),
        (parts.personalise, acts.personalise),
        (parts.model, acts.switch),
    ):
        chosen.input(own(choose), inputs=[chosen], **quiet)
    parts.age_band.input(own(acts.declare_age), inputs=[parts.age_band], js=_YOUNG, **quiet)
    parts.hand_over.click(own(acts.hand_over), inputs=[parts.tell], **quiet)
    parts.give.click(own(acts.give), inputs=[parts.ticks], **quiet)
    parts.large.change(None, inputs=[parts.large], js="(on) => discreet.resize(on ? 125 : 100)")
    parts.large.input(own(acts.declare_size), inputs=[parts.large], **quiet)
    parts.talk.change(None, js=_FOLLOW)


def _leaving(acts: Acts, sessions: Sessions) -> Callable[[gr.Request], None]:
    """Return what is done when a page is closed."""

    def leave(request: gr.Request) -> None:
        try:
            acts.leave(request)
        finally:
            sessions.forget(str(request.session_hash))

    return leave
