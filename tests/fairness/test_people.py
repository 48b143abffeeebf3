import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.fairness.people import means_of_people, sums_of_people


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(-9, 9)), max_size=12))
def test_each_person_is_counted_once(more: list[tuple[str, float]]) -> None:
    pairs = [("a", 1.0), ("b", 2.0), ("c", 3.0), *more]
    values, people = np.array([value for _, value in pairs]), [person for person, _ in pairs]
    own = {person: [v for p, v in pairs if p == person] for person in "abc"}
    sums, counts = sums_of_people(values, people)
    assert sums == pytest.approx([sum(own[person]) for person in "abc"])
    assert counts.tolist() == [len(own[person]) for person in "abc"]
    assert means_of_people(values, people) == pytest.approx([np.mean(own[p]) for p in "abc"])
