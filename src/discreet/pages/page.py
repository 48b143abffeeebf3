"""One demo in one language as Gradio blocks: its parts, wired to its acts."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from discreet.erasure import Receipt
from discreet.pages.acts import Acts
from discreet.pages.models import Model
from discreet.pages.parts import Parts, lay_out
from discreet.pages.sessions import Sessions
from discreet.pages.turns import Guest
from discreet.pages.views import View
from discreet.service import Visit

_PICTURE = "(...given) => { given[given.length - 1] = discreet.frame(); return given; }"
_FOLLOW = "() => discreet.follow(true)"
_WHY = "() => discreet.reveal('why-section')"
_OFF = "() => discreet.off()"
_HIDDEN = "() => { if (!document.querySelector('#looking')?.offsetParent) discreet.off(); }"
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
        guests: dict[str, Guest] = {}
        acts = Acts(
            view=view,
            parts=parts,
            models=models,
            open_visit=open_visit,
            erase=erase,
            guests=guests,
        )
        _wire(page, parts, acts, sessions)
    page.queue(default_concurrency_limit=None, api_open=False)
    built: gr.Blocks = page
    return built


def _wire(page: gr.Blocks, parts: Parts, acts: Acts, sessions: Sessions) -> None:
    every = [getattr(parts, name) for name in Parts.__slots__]
    quiet: dict[str, Any] = {
        "outputs": every,
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    page.load(acts.enter, **quiet)
    page.unload(_leaving(acts, sessions))
    asked = {"inputs": [parts.question, parts.picture], "js": _PICTURE, **quiet}
    gr.on([parts.ask.click, parts.question.submit], acts.ask, **asked)
    parts.talk.suggest(acts.suggest, inputs=[parts.picture], js=_PICTURE, **quiet)
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
        listen(act, **quiet)
    parts.talk.why(acts.why, **quiet).then(None, js=_WHY)
    parts.why.correct(acts.correct, **quiet).then(None, js=_HIDDEN)
    parts.withdraw.click(acts.withdraw, js=_OFF, **quiet)
    parts.forget.click(acts.forget, js=_OFF, **quiet)
    for chosen, choose in (
        (parts.reading, acts.declare_reading),
        (parts.personalise, acts.personalise),
        (parts.model, acts.switch),
    ):
        chosen.input(choose, inputs=[chosen], **quiet)
    parts.age_band.input(acts.declare_age, inputs=[parts.age_band], js=_YOUNG, **quiet)
    parts.hand_over.click(acts.hand_over, inputs=[parts.tell], **quiet)
    parts.give.click(acts.give, inputs=[parts.ticks], **quiet)
    parts.large.change(None, inputs=[parts.large], js="(on) => discreet.resize(on ? 125 : 100)")
    parts.large.input(acts.declare_size, inputs=[parts.large], **quiet)
    parts.talk.change(None, js=_FOLLOW)


def _leaving(acts: Acts, sessions: Sessions) -> Callable[[gr.Request], None]:
    """Return what is done when a page is closed."""

    def leave(request: gr.Request) -> None:
        acts.leave(request)
        sessions.forget(str(request.session_hash))

    return leave
