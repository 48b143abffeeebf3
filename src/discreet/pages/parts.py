"""The components of a page, in the order in which they are read; what they do is in `acts`."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from discreet.assistant import PARTS
from discreet.pages.models import Model
from discreet.pages.views import View

_ACTS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-act]');
  const act = button && button.tagName === 'BUTTON' && button.dataset.act;
  const known = ['suggest', 'edit', 'why', 'retry', 'clear', 'reject', 'enlarge'];
  if (known.includes(act)) trigger(act, { ...button.dataset });
});
element.addEventListener('change', (event) => {
  const chosen = event.target.closest('select[data-act]');
  if (chosen && chosen.value) trigger('correct', { ...chosen.dataset, value: chosen.value });
});
"""
UNSAID = "unsaid"
_html = partial(gr.HTML, apply_default_css=False, js_on_load=None)


def _ticked(payload: object) -> list[str]:
    """Return names of which nothing is known: once a page has ended, Gradio holds no choices."""
    return [name for name in payload if isinstance(name, str)] if isinstance(payload, list) else []


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """Everything on a page that something may happen to."""

    talk: gr.HTML
    status: gr.HTML
    question: gr.Textbox
    ask: gr.Button
    stop: gr.Button
    cancel: gr.Button
    picture: gr.Textbox
    age_band: gr.Radio
    child_note: gr.HTML
    reading: gr.Radio
    large: gr.Checkbox
    disclosure: gr.HTML
    asking: gr.Column
    ticks: gr.CheckboxGroup
    give: gr.Button
    refuse: gr.Button
    looking: gr.Column
    withdraw: gr.Button
    why_section: gr.Accordion
    why: gr.HTML
    personalise: gr.Checkbox
    model: gr.Radio
    model_says: gr.HTML
    stored: gr.HTML
    export: gr.Button
    forget: gr.Button
    receipt: gr.HTML
    tell: gr.CheckboxGroup
    hand_over: gr.Button
    person_says: gr.HTML


def lay_out(view: View, models: tuple[Model, ...]) -> Parts:
    """Put a page together, inside an open `gr.Blocks`."""
    _html(view.top(), elem_id="top")
    with gr.Row(elem_id="page"):
        with gr.Column(elem_id="main"):
            talk = _talk(view)
        with gr.Column(elem_id="side"):
            side = _side(view, models)
    return Parts(**talk, **side)


def _talk(view: View) -> dict[str, Any]:
    t = view.texts
    talk = _html(view.talk(None), elem_id="talk", js_on_load=_ACTS)
    with gr.Column(elem_id="composer"):
        status = _html("", elem_id="status")
        with gr.Row(elem_id="writing"):
            question = gr.Textbox(
                elem_id="question",
                label=t["compose.label"],
                placeholder=t["compose.placeholder"],
                lines=1,
                max_lines=6,
                max_length=2000,
                container=False,
                autofocus=False,
            )
            cancel = gr.Button(t["compose.cancel"], visible=False, elem_id="cancel")
            stop = gr.Button(t["compose.stop"], visible=False, elem_id="stop")
            ask = gr.Button(t["compose.send"], variant="primary", elem_id="ask")
        _html("<p></p>", elem_id="picture-says")
        note = t[f"compose.{view.context}_note"]
        _html(f"<p>{note}</p>", elem_id="small-print")
        opens = '<button type="button" data-act="sheet" aria-expanded="false">'
        _html(f"{opens}{t['page.panel']}</button>", elem_id="handle")
        picture = gr.Textbox(visible=False)
    return {
        "talk": talk,
        "status": status,
        "question": question,
        "ask": ask,
        "stop": stop,
        "cancel": cancel,
        "picture": picture,
    }


def _side(view: View, models: tuple[Model, ...]) -> dict[str, Any]:
    t = view.texts
    close = f'<button type="button" class="plain" data-act="close">{t["page.close"]}</button>'
    _html(close, elem_id="close")
    with gr.Accordion(t["about.title"], open=True, elem_id="about"):
        about = _about(view)
    with gr.Accordion(t["camera.title"], open=False, elem_id="camera"):
        camera = _camera(view)
    with gr.Accordion(t["why.title"], open=False, elem_id="why-section") as why_section:
        why = _html(view.why(None), elem_id="why", js_on_load=_ACTS)
        personalise = gr.Checkbox(
            value=True, label=t["why.personalise"], info=t["why.personalise_info"]
        )
    with gr.Accordion(t["privacy.title"], open=False, elem_id="privacy"):
        privacy = _privacy(view, models)
    told = {"why_section": why_section, "why": why, "personalise": personalise}
    return {**about, **camera, **told, **privacy}


def _about(view: View) -> dict[str, Any]:
    t = view.texts
    _html(f"<p>{t['about.lead']}</p>")
    age_band = gr.Radio(
        [*view.ages, (t["about.unsaid"], UNSAID)],
        value=UNSAID,
        label=t["about.age_band"],
        elem_id="age-band",
    )
    child_note = _html("", visible=False, elem_classes="told")
    reading = gr.Radio(
        [(t["about.standard"], "standard"), (t["about.plain"], "plain")],
        value="standard",
        label=t["about.reading"],
        elem_id="reading",
    )
    large = gr.Checkbox(label=t["about.text_size"], info=t["about.text_size_info"])
    return {"age_band": age_band, "child_note": child_note, "reading": reading, "large": large}


def _camera(view: View) -> dict[str, Any]:
    t = view.texts
    disclosure = _html("", elem_id="disclosure")
    with gr.Column(visible=False, elem_id="asking") as asking:
        ticks = gr.CheckboxGroup([], label=t["camera.ticked"], elem_id="ticks")
        vars(ticks).update(preprocess=_ticked)
        with gr.Row(elem_classes="buttons"):
            give = gr.Button(t["camera.give"], variant="primary", elem_id="give")
            refuse = gr.Button(t["camera.refuse"], elem_id="refuse")
    with gr.Column(visible=False, elem_id="looking") as looking:
        _html(view.camera())
    withdraw = gr.Button(t["camera.withdraw"], visible=False, elem_id="withdraw")
    return {
        "disclosure": disclosure,
        "asking": asking,
        "ticks": ticks,
        "give": give,
        "refuse": refuse,
        "looking": looking,
        "withdraw": withdraw,
    }


def _privacy(view: View, models: tuple[Model, ...]) -> dict[str, Any]:
    t = view.texts
    model = gr.Radio(
        [(known.title(t), known.name) for known in models],
        value=models[-1].name,
        label=t["privacy.model"],
        elem_id="model",
    )
    model_says = _html(view.model(*models[-1].says(t)))
    stored = _html("", elem_id="stored")
    with gr.Row(elem_classes="buttons"):
        export = gr.Button(t["privacy.export"], elem_id="export")
        forget = gr.Button(t["privacy.forget"], elem_id="forget")
    receipt = _html("", elem_id="receipt")
    _html(view.person(), elem_id="person")
    tell = gr.CheckboxGroup(
        [(t[f"privacy.tell_{part}"], part) for part in PARTS],
        value=[],
        label=t["privacy.tell"],
        elem_id="tell",
    )
    hand_over = gr.Button(t["privacy.person_show"], elem_id="hand-over")
    person_says = _html("", elem_id="person-says")
    return {
        "model": model,
        "model_says": model_says,
        "stored": stored,
        "export": export,
        "forget": forget,
        "receipt": receipt,
        "tell": tell,
        "hand_over": hand_over,
        "person_says": person_says,
    }
