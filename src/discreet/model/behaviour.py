"""Checks of a base that need forward passes: losses, answers, a short training.

Each puts the model back as it was. Losses of rows that no person wrote are compared, never shown.

    >>> from discreet.model.base import load
    >>> BEHAVIOUR["the picture matters"].find(load("tiny"))[0]
    True
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from discreet.model.base import Vlm
from discreet.model.exports import load_adapter, save_adapter
from discreet.model.finding import Rule
from discreet.model.generation import LOOP_TOKENS, Request, answer_all
from discreet.model.lora import LoraSpec, adapter_parameters, attach_lora
from discreet.model.losses import answer_logits, answer_losses, base_of, encode_images
from discreet.model.probes import NOTE, QUESTION, noise, probe_features, probe_rows
from discreet.model.prompt import Batch, build_prompt, collate, encode_prompt
from discreet.model.shapes import picture_inputs, told_inputs
from discreet.model.small import IMAGE_TOKEN

TOLERANCE = 1e-4
"""Largest difference, next to the value, that comes of adding up in another order in float32."""
NOTHING = 1e-6
"""Smallest difference that something made; float32 alone makes less."""
STEPS = 20
RATE = 0.01
SPEC = LoraSpec(r=4, alpha=8, layers=2**20, target_modules=("q_proj", "v_proj"), freeze_a=False)
"""The adapter that is tried: on every language layer, both halves learning."""


@torch.no_grad()
def _alone(vlm: Vlm) -> tuple[bool, str]:
    rows, features = probe_rows(), probe_features(vlm)
    together = answer_losses(vlm, collate(vlm, rows), features)
    own = [features[:1], None, features[1:]]
    alone = torch.cat(
        [answer_losses(vlm, collate(vlm, [r]), f) for r, f in zip(rows, own, strict=True)]
    )
    apart = _apart(together, alone)
    return apart <= TOLERANCE, f"{apart:.0e} apart"


@torch.no_grad()
def _in_order(vlm: Vlm) -> tuple[bool, str]:
    """Change the last word of an answer: what is said before it may not know."""
    batch, features = collate(vlm, probe_rows()[:1]), probe_features(vlm)[:1]
    changed = batch.input_ids.clone()
    changed[:, -2] = changed[:, -3] if changed[0, -2] != changed[0, -3] else changed[0, -4]
    other = Batch(
        input_ids=changed, attention_mask=batch.attention_mask, labels=batch.labels.clone()
    )
    (one, _), (two, _) = (answer_logits(vlm, b, features) for b in (batch, other))
    apart = _apart(one[:, :-2], two[:, :-2])
    return apart <= TOLERANCE, f"{apart:.0e} apart"


@torch.no_grad()
def _sees_prefix(vlm: Vlm) -> tuple[bool | None, str]:
    """Change the last word of a prompt: where a prefix is seen whole, its first places change."""
    if vlm.shape.told != "prefix":
        return None, "prompts are read from left to right"
    ids = torch.tensor([encode_prompt(vlm, build_prompt(QUESTION, note=NOTE, person="a child"))])
    changed = ids.clone()
    changed[0, -1] = ids[0, 0]
    one, two = (_states(vlm, each) for each in (ids, changed))
    apart = _apart(one[:, 0], two[:, 0])
    return apart > NOTHING, f"{apart:.0e} apart"


def _states(vlm: Vlm, ids: torch.Tensor) -> torch.Tensor:
    mask = torch.ones_like(ids)
    told = told_inputs(vlm.model.config, ids, attention_mask=mask)
    output = base_of(vlm).model(input_ids=ids, attention_mask=mask, use_cache=False, **told)
    found: torch.Tensor = output.last_hidden_state
    return found


@torch.no_grad()
def _without_pictures(vlm: Vlm) -> tuple[bool, str]:
    losses = answer_losses(vlm, collate(vlm, probe_rows(pictures=False)), None)
    messages = build_prompt(QUESTION, note=NOTE, person="a child")
    answer_all(vlm, [Request(messages=messages, max_new_tokens=2)])
    finite = bool(losses.isfinite().all())
    return finite, "finite losses" if finite else "losses that are no numbers"


@torch.no_grad()
def _picture_matters(vlm: Vlm) -> tuple[bool, str]:
    batch, features = collate(vlm, probe_rows()[:1]), probe_features(vlm)
    one, two = (answer_logits(vlm, batch, f[None])[0] for f in features)
    apart = _apart(one, two)
    return apart > NOTHING, f"{apart:.0e} apart"


@torch.no_grad()
def _as_transformers(vlm: Vlm) -> tuple[bool, str]:
    """Compare with `generate` of transformers on pixels, for fewer tokens than make a loop."""
    messages = build_prompt(QUESTION, note=NOTE, person=IMAGE_TOKEN)
    picture, length = noise(0), LOOP_TOKENS - 1
    request = Request(
        messages=messages,
        image_features=encode_images(vlm, [picture]),
        max_new_tokens=length,
    )
    ids = torch.tensor([encode_prompt(vlm, messages)])
    found = base_of(vlm).generate(
        input_ids=ids,
        max_new_tokens=length,
        do_sample=False,
        repetition_penalty=1.0,
        **_raw_inputs(vlm, ids, picture),
    )
    theirs = vlm.tokenizer.decode(found[0, ids.shape[1] :], skip_special_tokens=True).strip()
    same = answer_all(vlm, [request])[0].text == theirs
    return same, "the same words" if same else "other words"


def _raw_inputs(vlm: Vlm, ids: torch.Tensor, picture: Any) -> dict[str, torch.Tensor]:
    """Return what a processor of transformers gives beside ids."""
    mask = torch.ones_like(ids)
    given = picture_inputs(vlm.model.config, vlm.image_processor, [picture])
    if vlm.shape.told == "grid":  # places are counted by the model
        told = {"mm_token_type_ids": (ids == vlm.image_token_id).long()}
    else:
        told = told_inputs(vlm.model.config, ids, attention_mask=mask)
    return {"attention_mask": mask, **given, **told}


def _learns(vlm: Vlm) -> tuple[bool, str]:
    with _adapted(vlm) as adapted:
        first, last = _train(adapted)
    got = f"{'lower' if last < first else 'no lower'} after {STEPS} steps"
    return last < first, got


def _comes_back(vlm: Vlm) -> tuple[bool, str]:
    batch, features = collate(vlm, probe_rows()), probe_features(vlm)
    with tempfile.TemporaryDirectory() as work:
        with _adapted(vlm) as adapted, torch.no_grad():
            draw = torch.Generator().manual_seed(0)
            for parameter in adapter_parameters(adapted).values():
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=draw))
            before = answer_logits(adapted, batch, features)[0]
            save_adapter(adapted, SPEC, Path(work))
        with torch.no_grad(), _loaded(vlm, Path(work)) as again:
            after = answer_logits(again, batch, features)[0]
        plain = answer_logits(vlm, batch, features)[0].detach()
    apart, change = _apart(before, after), _apart(before, plain)
    return apart <= TOLERANCE < change, f"{apart:.0e} apart, {change:.0e} from the base"


@contextmanager
def _adapted(vlm: Vlm) -> Iterator[Vlm]:
    """Yield the base with a new adapter, and take it off again."""
    adapted = attach_lora(vlm, SPEC)
    try:
        yield adapted
    finally:
        adapted.model.unload()


@contextmanager
def _loaded(vlm: Vlm, folder: Path) -> Iterator[Vlm]:
    loaded = load_adapter(replace(vlm), folder)
    try:
        yield loaded
    finally:
        loaded.model.unload()


def _train(vlm: Vlm) -> tuple[float, float]:
    """Return the mean loss before and after some steps of Adam on the probe's rows."""
    batch, features = collate(vlm, probe_rows()), probe_features(vlm)
    optimizer = torch.optim.Adam(adapter_parameters(vlm).values(), lr=RATE)
    first = float("nan")
    for step in range(STEPS):
        loss = answer_losses(vlm, batch, features).mean()
        first = float(loss.detach()) if step == 0 else first
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return first, float(answer_losses(vlm, batch, features).mean())


def _apart(one: torch.Tensor, two: torch.Tensor) -> float:
    """Return the largest difference of two tensors, relative to the largest value."""
    return float((one - two).abs().max() / one.abs().max().clamp(min=1e-12))


BEHAVIOUR: Mapping[str, Rule] = {
    "alone and in a batch": Rule(
        find=_alone,
        expected=f"the same loss of a row alone and beside longer ones, to {TOLERANCE:.0e}",
        way_out="The model lets padding or neighbours through: it cannot be trained privately.",
    ),
    "read in order": Rule(
        find=_in_order,
        expected="no place of an answer that knows what comes after it",
        way_out="The model sees answers that it is to learn; its mask or its labels are wrong.",
    ),
    "prefix is seen whole": Rule(
        find=_sees_prefix,
        expected="a prompt of which each place sees all, in families that were trained so",
        way_out="The model does not read token_type_ids; use transformers' own architecture.",
    ),
    "text alone": Rule(
        find=_without_pictures,
        expected="losses and answers without a picture",
        way_out="Weights hold infinite numbers, or the model needs a picture: choose another.",
    ),
    "the picture matters": Rule(
        find=_picture_matters,
        expected="other scores for another picture",
        way_out="The projector is empty or was not saved; copy the whole checkpoint again.",
    ),
    "answers as transformers does": Rule(
        find=_as_transformers,
        expected="the words that transformers.generate finds from pixels",
        way_out="Report it with the model's name: answers of this family are not right here.",
    ),
    "learns": Rule(
        find=_learns,
        expected=f"a lower loss after {STEPS} steps of LoRA on q_proj and v_proj",
        way_out="Look whether weights are finite, and how language layers are named.",
    ),
    "adapter comes back": Rule(
        find=_comes_back,
        expected="the same scores from an adapter that was saved and loaded",
        way_out="Look whether two layers of the language model share a name.",
    ),
}
"""By name, in the order in which they are tried."""
