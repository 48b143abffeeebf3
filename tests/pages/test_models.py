from dataclasses import replace

import pytest

from discreet.artifacts import RunFolder
from discreet.pages.models import Model
from discreet.pages.texts import load_texts
from discreet.registry import REFERENCE_DIR, read_card
from discreet.types import Language, meaning

CARD = read_card(RunFolder(REFERENCE_DIR))


@pytest.mark.parametrize("language", ["en", "fr"])
def test_epsilon_comes_with_delta_unit_and_neighbours(language: Language) -> None:
    t = load_texts(language)
    words, numbers = Model(name="reference", card=CARD).says(t)
    assert CARD.worst is not None
    assert numbers[0] == "epsilon = 7.87"
    assert numbers[1] == "delta = 1e-05"
    assert t["privacy.unit_example"] in numbers[2]
    assert len(numbers) == 4
    assert meaning("example", CARD.worst).split("at most ")[1].split(" times")[0] in words


def test_what_promises_nothing_says_so() -> None:
    t = load_texts("en")
    assert CARD.worst is not None
    loose = replace(CARD, per_owner={"owner-0": replace(CARD.worst, epsilon=30.0)})
    assert "promises nothing" in Model(name="a", card=loose).says(t)[0]
    plain = replace(CARD, per_owner={})
    assert Model(name="a", card=plain).says(t) == (t["privacy.plain_info"], ())
    assert Model(name="base").says(t) == (t["privacy.base_info"], ())


def test_a_model_is_called_private_only_where_something_was_promised() -> None:
    t = load_texts("en")
    names = [
        Model(name="a", card=card).title(t) for card in (None, replace(CARD, per_owner={}), CARD)
    ]
    assert names == [t["privacy.base"], t["privacy.federated"], t["privacy.private"]]
