"""Who answers in a table of adaptation: the note itself, a base that is asked to adapt, a model."""

from collections.abc import Callable, Sequence

from discreet.audit import MAX_NEW_TOKENS
from discreet.bench.adaptation import Ask
from discreet.model import Request, Vlm, answer_all, build_prompt, person_line
from discreet.readers import Reader
from discreet.types import Observation

Prompt = Callable[[Ask], list[dict[str, str]]]
_INSTRUCTIONS: dict[Reader, str] = {
    "child": "Write for a child: up to five short sentences in easy words.",
    "young_adult": "Write for a young adult: the point first, up to three sentences.",
    "middle_aged": "Write for a middle-aged adult: two or three whole sentences, with a reason.",
    "older_adult": "Write for an older adult: three to five numbered steps, one action in each.",
    "distressed": "Write for an upset adult: first that help is there, then very short sentences.",
}


def repeat_note(asks: Sequence[Ask]) -> list[str]:
    """Return the note of each question, with its safety line: what needs no model."""
    return [" ".join((ask.question.note, ask.question.safety)).strip() for ask in asks]


def gated_prompt(ask: Ask) -> list[dict[str, str]]:
    """Return what the assistant would ask, had the person declared who they are."""
    return _prompt(ask, person_line(declared(ask)))


def asking_prompt(ask: Ask) -> list[dict[str, str]]:
    """Return a prompt that says in words how to write: what a base can do without training."""
    question = ask.question
    system = (
        f"You answer questions from a vetted note and add nothing to it. "
        f"{_INSTRUCTIONS[ask.reader]} Do not say for whom you write."
    )
    text = f"Note: {question.note} {question.safety}\nQuestion: {question.question}"
    return [{"role": "system", "content": system}, {"role": "user", "content": text}]


def declared(ask: Ask) -> list[Observation]:
    """Return band and expression as the person's own words, as far as a policy lets them pass."""
    said = {"age_band": ask.band, "expression": ask.expression}
    if ask.question.domain == "tutoring":
        del said["expression"]
    return [
        Observation(attribute=name, value=value, source="declared", confidence=1.0)  # type: ignore[arg-type]
        for name, value in said.items()
        if value is not None
    ]


def write_all(
    vlm: Vlm,
    asks: Sequence[Ask],
    prompt: Prompt = gated_prompt,
    *,
    guidance: float = 1.0,
    batch: int = 8,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[str]:
    """Return a model's greedy answers, each with its safety line, as a person would see them.

    Args:
        vlm: The model.
        asks: Who asks what.
        prompt: How each is asked.
        guidance: How far answers lean towards the person, over a prompt of nobody in particular.
        batch: Answers in one pass.
        on_done: Told after each pass how many answers it gave.
    """
    answers: list[str] = []
    for start in range(0, len(asks), batch):
        asking = asks[start : start + batch]
        requests = [
            Request(
                messages=prompt(ask),
                contrast=_prompt(ask, person_line([])),
                guidance=guidance,
                max_new_tokens=MAX_NEW_TOKENS,
            )
            for ask in asking
        ]
        written = answer_all(vlm, requests)
        answers += [_with_safety(one.text, ask) for one, ask in zip(written, asking, strict=True)]
        on_done(len(requests))
    return answers


def _with_safety(answer: str, ask: Ask) -> str:
    """Return an answer with the safety line of its question, which is not left to a model."""
    line = ask.question.safety
    return answer if line in answer else f"{answer} {line}".strip()


def _prompt(ask: Ask, person: str) -> list[dict[str, str]]:
    return build_prompt(ask.question.question, note=ask.question.note, person=person)
