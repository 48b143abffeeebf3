"""Small real things that several rooms test with: a model, people who were drawn, questions."""

import signal
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, settings
from PIL import Image, ImageDraw

from discreet.data import KeyFact, Portrait, Question, load_portraits
from discreet.model import Vlm, load
from discreet.types import AGE_BANDS, EXPRESSIONS
from tests.browsers import chromium

__all__ = ["chromium"]

PEOPLE = {"train": 24, "validation": 5, "test": 5}
SHOTS = 3
AUDIT_LABELS = {"ethnicity": "group_a", "skin_tone": "4", "gender_presentation": "neutral"}

Rows = list[dict[str, object]]

# The same examples on every machine, however busy it is.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> None:
    """Ctrl-C means Ctrl-C here also when the tests run in the background, where it is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def draw_face(draw: np.random.Generator, side_px: int = 96) -> bytes:
    """Return the JPEG of a face of random colours and proportions."""
    skin, ground, hair = (tuple(map(int, draw.integers(40, 230, 3))) for _ in range(3))
    image = Image.new("RGB", (side_px, side_px), ground)
    pen = ImageDraw.Draw(image)
    left, top = draw.integers(10, 25, 2)
    pen.ellipse((left, top - 8, side_px - left, side_px - top), fill=hair)
    pen.ellipse((left + 4, top, side_px - left - 4, side_px - 8), fill=skin)
    mouth = int(draw.integers(-10, 10))
    pen.line((36, 66 + mouth // 2, 48, 66, 60, 66 + mouth // 2), fill=(90, 20, 20), width=3)
    for eye in (36, 60):
        pen.ellipse((eye - 4, 40, eye + 4, 46), fill="black")
    stream = BytesIO()
    image.save(stream, "JPEG", quality=85)
    return stream.getvalue()


def draw_people() -> Rows:
    """Return rows with every column of the portrait schema that the code reads."""
    draw = np.random.default_rng(0)
    rows: Rows = []
    for split, count in PEOPLE.items():
        for person in range(count):
            for shot in range(SHOTS):
                face = {"bytes": draw_face(draw), "path": None}
                labels = {
                    "identity_id": f"{split}-{person:02d}",
                    "age_band": AGE_BANDS[person % len(AGE_BANDS)],
                    "expression": EXPRESSIONS[(person + shot) % len(EXPRESSIONS)],
                }
                rows.append({"image": face, "split": split, **labels, "shot": shot, **AUDIT_LABELS})
    return rows


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Models this small lose more by sharing work between threads than they win."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny() -> Vlm:
    """A random LLaVA of one's own; adapters are put into it in place."""
    return load("tiny")


@pytest.fixture(scope="session")
def people_rows() -> Rows:
    return draw_people()


@pytest.fixture(scope="session")
def portraits_file(tmp_path_factory: pytest.TempPathFactory, people_rows: Rows) -> Path:
    """A Parquet file of drawn people in all three splits."""
    path = tmp_path_factory.mktemp("people") / "people.parquet"
    pq.write_table(pa.Table.from_pylist(people_rows), path)
    return path


@pytest.fixture(scope="session")
def portraits(portraits_file: Path) -> list[Portrait]:
    return load_portraits("train", path=portraits_file)


@pytest.fixture(scope="session")
def faces(portraits: list[Portrait]) -> list[Image.Image]:
    """Eight pictures of different people."""
    return [portrait.image for portrait in portraits[: 8 * SHOTS : SHOTS]]


@pytest.fixture(scope="session")
def make_question() -> Callable[..., Question]:
    def make(**changes: object) -> Question:
        settings: dict[str, object] = {
            "id": "healthcare.sleep.caffeine",
            "part": "private",
            "domain": "healthcare",
            "language": "en",
            "topic": "sleep",
            "question": "Why do I sleep badly after coffee?",
            "note": "Coffee holds caffeine, which keeps people awake for hours.",
            "key_facts": (KeyFact(name="cause", pattern="(?i)caffeine|coffee"),),
            "forbidden": ("(?i)sleeping pill",),
            "safety": "See a doctor if it lasts.",
            "child": ("Coffee keeps you up.",),
            "young_adult": ("Drink coffee early: caffeine keeps people awake.",),
            "middle_aged": ("Caffeine in coffee delays sleep for hours.",),
            "older_adult": ("Drink no coffee after noon.", "Go to bed at the same hour."),
            "distressed": ("Bad nights are hard.", "Drink coffee early in the day."),
        }
        return Question(**{**settings, **changes})

    return make


@pytest.fixture(scope="session")
def questions(make_question: Callable[..., Question]) -> list[Question]:
    """Two topics of healthcare and one of tutoring."""
    fever = make_question(
        id="healthcare.fever.what",
        topic="fever",
        question="What is a fever?",
        note="A fever is a body temperature of 38 degrees or more.",
        key_facts=(KeyFact(name="limit", pattern="38"),),
        child=("38 or more is a fever.",),
        young_adult=("It is a temperature of 38 or more.",),
        middle_aged=("A fever is a temperature of 38 degrees or more.",),
        distressed=("A fever can worry people.", "From 38 on it is a fever."),
        older_adult=("Put the thermometer under your tongue.", "Read it: 38 is a fever."),
    )
    halves = make_question(
        id="tutoring.fractions.halves",
        domain="tutoring",
        topic="fractions",
        question="Why is one half the same as two quarters?",
        note="Two quarters of a pizza cover the same part as one half.",
        key_facts=(KeyFact(name="same", pattern="(?i)same"),),
        safety="",
        child=("It is the same part.",),
        young_adult=("Both are the same part.",),
        middle_aged=("Both fractions describe the same part of the pizza.",),
        distressed=("Fractions can be hard.", "Both are the same part."),
        older_adult=("Cut a pizza in four.", "Take two: it is the same as half."),
    )
    return [make_question(), fever, halves]
