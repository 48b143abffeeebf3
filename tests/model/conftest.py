"""The real `small`, loaded once, and rows that mix text with pictures."""

import pytest

from discreet.model import IMAGE_TOKEN, Row, Vlm, build_prompt, load


@pytest.fixture(scope="session")
def small() -> Vlm:
    return load("small")


@pytest.fixture(scope="session")
def rows() -> list[Row]:
    """Rows of different lengths; the second and the fourth hold a picture."""
    asked = [
        ("Why?", "a child", "Rest."),
        ("What is a fever?", IMAGE_TOKEN, "A temperature of 38 degrees or more."),
        ("How long should I sleep?", "unknown", "Seven hours or more."),
        ("Why?", IMAGE_TOKEN, "Because."),
    ]
    return [
        Row(messages=build_prompt(question, note="Rest heals.", person=person), answer=answer)
        for question, person, answer in asked
    ]
