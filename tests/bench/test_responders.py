"""Who answers gets what a person declared, and nothing that a policy would withhold."""

from discreet.bench import ask_all, asking_prompt, declared, gated_prompt, repeat_note, write_all
from discreet.bench.responders import _with_safety
from discreet.data import load_questions
from discreet.model import Vlm, generate

ASKS = ask_all([*load_questions("healthcare")[:2], *load_questions("tutoring")[:1]])


def test_the_note_is_repeated_with_its_safety_line() -> None:
    for ask, text in zip(ASKS, repeat_note(ASKS), strict=True):
        assert text.startswith(ask.question.note)
        assert text.endswith(ask.question.safety)


def test_no_expression_is_told_in_tutoring() -> None:
    for ask in ASKS:
        said = {seen.attribute for seen in declared(ask)}
        upset = ask.expression is not None and ask.question.domain == "healthcare"
        assert said == ({"age_band", "expression"} if upset else {"age_band"})


def test_a_base_that_is_asked_gets_the_note_and_one_instruction() -> None:
    prompts = {ask.reader: asking_prompt(ask) for ask in ASKS}
    assert len({messages[0]["content"] for messages in prompts.values()}) == len(prompts) == 5
    for ask in ASKS:
        assert ask.question.note in asking_prompt(ask)[1]["content"]


def test_answers_come_in_the_order_of_the_asks_and_are_those_of_each_alone(tiny: Vlm) -> None:
    done: list[int] = []
    together = write_all(tiny, ASKS, batch=5, on_done=done.append)
    assert done == [5, 5, 5, 1]
    alone = [generate(tiny, gated_prompt(ask), max_new_tokens=110) for ask in ASKS]
    lines = [ask.question.safety for ask in ASKS]
    assert together == [f"{text} {line}".strip() for text, line in zip(alone, lines, strict=True)]


def test_a_safety_line_that_the_model_wrote_is_not_said_twice() -> None:
    line = ASKS[0].question.safety
    assert line
    assert _with_safety(f"Rest. {line} Ask me more.", ASKS[0]) == f"Rest. {line} Ask me more."
    assert _with_safety("Rest.", ASKS[0]) == f"Rest. {line}"
    assert _with_safety("", ASKS[0]) == line
    assert _with_safety("Count.", next(a for a in ASKS if not a.question.safety)) == "Count."


def test_guidance_leans_away_from_anybody(tiny: Vlm) -> None:
    anybody = [{**message} for message in gated_prompt(ASKS[0])]
    anybody[1]["content"] = anybody[1]["content"].rpartition("Answer for")[0] + (
        "Answer for somebody, in plain sentences."
    )
    (guided,) = write_all(tiny, ASKS[:1], guidance=2.0)
    expected = generate(
        tiny, gated_prompt(ASKS[0]), contrast=anybody, guidance=2.0, max_new_tokens=110
    )
    assert guided == f"{expected} {ASKS[0].question.safety}"
