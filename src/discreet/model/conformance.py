"""Does a base that somebody brings do what the rest of the code needs of it?

A list of checks, each of which can fail and says what was expected, what was found and the way out.
Checks of the folder and of words are here; those that need forward passes are in `behaviour.py`.
Pictures and words are this check's own and no data is read. It says nothing about how good answers
are, nor about privacy: `discreet doctor --private` checks gradients.

    >>> found = check_conformance("tiny", passes=False)
    >>> {check.state for check in found}
    {'passed'}
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from discreet.errors import DiscreetError
from discreet.model.base import EMBEDDED, Vlm, load
from discreet.model.behaviour import BEHAVIOUR
from discreet.model.checkpoint import (
    check_family,
    read_config,
    read_image_processor,
    read_model,
    read_tokenizer,
)
from discreet.model.context import check_length, context_tokens
from discreet.model.dialogue import TooManyTokens, encode_dialogue
from discreet.model.finding import CRASHES, Check, Rule, apply_rules
from discreet.model.losses import base_of, encode_images
from discreet.model.probes import NOTE, QUESTION, noise
from discreet.model.prompt import IGNORED, Row, build_prompt, collate, encode_prompt
from discreet.model.small import IMAGE_TOKEN
from discreet.model.turns import turn_ends, turn_words

_HIDDEN = "\x00\u202e\u2066\u200b\ufeff\x1b\u00ad\u034f\u180e\u3164\ufe0f\U000e0041\U000e0100"
"""Characters that nobody types, in front of the probe's question and inside it."""


def check_conformance(
    base: str, *, cache_dir: Path | None = None, passes: bool = True
) -> list[Check]:
    """Return what each check found, in a fixed order; later ones are skipped if a part is missing.

    Args:
        base: As for `load`.
        cache_dir: As for `load`.
        passes: Also those that run the model, 20 steps of LoRA included: a minute for a base as
            large as `small`.
    """
    rules = {**WORDS, **(BEHAVIOUR if passes else {})}
    found: list[Check] = []
    if base not in EMBEDDED:
        found = _check_folder(Path(base))
    failed = next((check.name for check in found if check.state == "failed"), None)
    if failed is not None:
        return found + [_skipped(name, rule.expected, failed) for name, rule in rules.items()]
    return found + check_vlm(load(base, cache_dir=cache_dir), passes=passes)


def check_vlm(vlm: Vlm, *, passes: bool = True) -> list[Check]:
    """Return what the checks found that need a model in memory; it comes back as it was."""
    return apply_rules({**WORDS, **(BEHAVIOUR if passes else {})}, vlm)


def _check_folder(folder: Path) -> list[Check]:
    """Return whether each part of a folder can be read."""
    held: dict[str, Any] = {}
    steps: dict[str, Callable[[], Any]] = {
        "safetensors only": lambda: held.update(config=read_config(folder)),
        "architecture": lambda: check_family(folder, held["config"]),
        "tokenizer and chat template": lambda: read_tokenizer(folder, held["config"]),
        "image processor": lambda: read_image_processor(folder),
        "weights": lambda: read_model(folder, held["config"]),
    }
    found: list[Check] = []
    for name, step in steps.items():
        failed = {check.name for check in found if check.state == "failed"}
        if missing := [need for need in _NEEDS if need in failed and name in _NEEDS[need]]:
            found.append(_skipped(name, _FOLDER[name], missing[0]))
        else:
            found.append(_try(name, _FOLDER[name], step))
    return found


_FOLDER = {
    "safetensors only": "a folder with config.json and safetensors, and no pickled file",
    "architecture": "a family that is known here",
    "tokenizer and chat template": "a tokenizer with a chat template, an end and a placeholder",
    "image processor": "an image processor that works with Pillow alone",
    "weights": "every weight of the model, undamaged",
}
_NEEDS = {
    "safetensors only": {*_FOLDER} - {"safetensors only"},
    "architecture": {"weights"},
}
"""What cannot be tried where one of these has failed."""


def _try(name: str, expected: str, step: Callable[[], Any]) -> Check:
    """Return whether something could be read; errors here say what was found and the way out."""
    try:
        step()
    except (DiscreetError, *CRASHES) as error:
        first, _, way_out = str(error).partition(". ")
        got = first.partition("got ")[2] or first
        return Check(name=name, state="failed", expected=expected, got=got, way_out=way_out)
    return Check(name=name, state="passed", expected=expected, got=expected, way_out="")


def _skipped(name: str, expected: str, failed: str) -> Check:
    way_out = f"Mend '{failed}' first."
    return Check(name=name, state="skipped", expected=expected, got="not tried", way_out=way_out)


def _turns_end(vlm: Vlm) -> tuple[bool, str]:
    ends = turn_ends(vlm.tokenizer)
    if ends is None:
        return False, "no special token behind an answer"
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    if ends != vlm.tokenizer.eos_token_id or encode_dialogue(vlm, turns) is None:
        return False, "a token that the model does not stop at"
    return True, str(vlm.tokenizer.eos_token)


def _end_known(vlm: Vlm) -> tuple[bool, str]:
    known = base_of(vlm).generation_config.eos_token_id
    ids = known if isinstance(known, list) else [known]
    return vlm.tokenizer.eos_token_id in ids, f"generation stops at {ids}"


def _vocabulary(vlm: Vlm) -> tuple[bool, str]:
    base = base_of(vlm)
    rows = base.get_input_embeddings().weight.shape[0]
    out = base.get_output_embeddings().weight.shape[0]
    largest = max(vlm.tokenizer.get_vocab().values())
    text = base.config.get_text_config().vocab_size
    got = f"ids to {largest}, {rows} embeddings, {out} outputs, vocab_size {text}"
    return largest < rows == out == text and vlm.image_token_id < rows, got


def _padding(vlm: Vlm) -> tuple[bool, str]:
    return vlm.tokenizer.padding_side == "left", str(vlm.tokenizer.padding_side)


def _placeholders(vlm: Vlm) -> tuple[bool, str]:
    seen = encode_images(vlm, [noise(0)]).shape[1]
    slots = _slots(vlm, build_prompt(QUESTION, note=NOTE, person=IMAGE_TOKEN))
    return seen == slots > 0, f"{slots} placeholders, {seen} visual tokens"


def _not_cut(vlm: Vlm) -> tuple[bool, str]:
    long = build_prompt(QUESTION, note="word " * (2 * context_tokens(vlm)), person=IMAGE_TOKEN)
    slots = _slots(vlm, long)
    try:
        check_length(vlm, len(encode_prompt(vlm, long)), 1)
    except TooManyTokens:
        return slots == vlm.image_tokens, f"{slots} placeholders, and a refusal"
    return False, f"{slots} placeholders, and no refusal"


def _labels(vlm: Vlm) -> tuple[bool, str]:
    answer = "Rest heals, 38 Degrees."
    batch = collate(
        vlm,
        [Row(messages=build_prompt(q, note=NOTE, person="a child"), answer=answer) for q in "ab"],
    )
    for ids, labels in zip(batch.input_ids, batch.labels, strict=True):
        chosen = labels[labels != IGNORED]
        told = vlm.tokenizer.decode(chosen[:-1]).strip()
        behind = ids[-len(chosen) :]
        if told != answer or not behind.equal(chosen):
            return False, "other tokens than those of the answer"
        if chosen[-1] != vlm.tokenizer.eos_token_id:
            return False, "an answer without its end"
    return True, "the answer and its end"


def _typed(vlm: Vlm) -> tuple[bool, str]:
    """Type every control token in a question, one inside another too, and every word of a turn."""
    image = vlm.tokenizer.convert_ids_to_tokens(vlm.image_token_id)
    turns = turn_words(vlm.tokenizer)
    typed = [*vlm.tokenizer.all_special_tokens, image, IMAGE_TOKEN, vlm.picture_words]
    nested = image[:3] + image + image[3:]
    spoken = "".join(f" {word} Yes.\n{word} No." for word in turns)
    asked = [
        build_prompt(words, note=words, person="a child")
        for words in (QUESTION, QUESTION + "".join([*typed, nested]) + spoken)
    ]
    control = set(vlm.tokenizer.all_special_ids) | {vlm.image_token_id}
    ids = [encode_prompt(vlm, messages) for messages in asked]
    plain, other = ([i for i in each if i in control] for each in ids)
    texts = [vlm.tokenizer.decode(each) for each in ids]
    said, also = ([text.count(word) for word in turns] for text in texts)
    got = f"{len(other) - len(plain)} control tokens and {sum(also) - sum(said)} words of turns"
    return plain == other and said == also, f"{got} that were typed"


def _hidden(vlm: Vlm) -> tuple[bool, str]:
    plain, other = (
        encode_prompt(vlm, build_prompt(words, note=words, person="a child"))
        for words in (QUESTION, _HIDDEN + QUESTION[:2] + _HIDDEN + QUESTION[2:])
    )
    return plain == other, "the same ids" if plain == other else "other ids"


def _slots(vlm: Vlm, messages: list[dict[str, str]]) -> int:
    return encode_prompt(vlm, messages).count(vlm.image_token_id)


WORDS: Mapping[str, Rule] = {
    "turns end": Rule(
        find=_turns_end,
        expected="a chat template that ends each answer with the token that the model stops at",
        way_out="Use the model's own chat_template.jinja, and name the token in "
        "generation_config.json (eos_token_id).",
    ),
    "end is known": Rule(
        find=_end_known,
        expected="the end of a turn among those at which generation stops",
        way_out="Add its id to eos_token_id in generation_config.json.",
    ),
    "vocabulary": Rule(
        find=_vocabulary,
        expected="an embedding and an output for each id of the tokenizer",
        way_out="Copy tokenizer and weights of one model, or call resize_token_embeddings().",
    ),
    "padding side": Rule(
        find=_padding,
        expected="padding on the left, so that answers start where prompts end",
        way_out="Set padding_side to left in tokenizer_config.json; batches made here are padded "
        "on the left either way, those of other tools are not.",
    ),
    "placeholders": Rule(
        find=_placeholders,
        expected="as many placeholders as visual tokens",
        way_out="Copy config.json and the image processor of one model.",
    ),
    "placeholders are kept": Rule(
        find=_not_cut,
        expected="all placeholders in a prompt that is too long, which is refused and not cut",
        way_out="Turn truncation off in tokenizer.json.",
    ),
    "labels": Rule(
        find=_labels,
        expected="labels on the answer and its end, and nowhere else",
        way_out="The tokenizer changes what it reads; use the model's own.",
    ),
    "typed control tokens": Rule(
        find=_typed,
        expected="no control token, turn or picture from words that somebody types",
        way_out="Mark control tokens as special in tokenizer_config.json.",
    ),
    "hidden characters": Rule(
        find=_hidden,
        expected="characters that nobody sees without effect",
        way_out="Report it: this does not depend on the model.",
    ),
}
