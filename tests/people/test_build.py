from pathlib import Path

import pytest

from discreet.people import Assets, build_portraits, rerender, sample_person
from discreet.people.spec import labels


def test_too_few_people_for_a_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="num_identities >= 240"):
        build_portraits(tmp_path, Assets(folder=tmp_path), seed=0, num_identities=24)


def test_a_row_with_changed_truth_is_not_drawn(tmp_path: Path) -> None:
    row = labels(sample_person(0, 0)) | {"spec": sample_person(0, 1).to_json()}
    with pytest.raises(ValueError, match="follows from its seed"):
        rerender(row, Assets(folder=tmp_path))
