import pytest

from discreet.bench import measure_drawing
from discreet.figures import Assets
from tests.figures.conftest import assets

__all__ = ["assets"]


@pytest.mark.people
@pytest.mark.timeout(180)
def test_stages_add_up_to_the_time_of_a_portrait(assets: Assets) -> None:
    speed = measure_drawing(assets, pictures=7, workers=1, size_px=32)
    assert speed.workers == 1
    assert speed.pictures_per_second == pytest.approx(speed.pictures_per_second_per_worker)
    stages = {"describe", "bodies", "surfaces", "draw", "shrink", "backdrop", "sensor", "jpeg"}
    assert set(speed.milliseconds) == stages
    total = sum(speed.milliseconds.values())
    assert total == pytest.approx(1000 / speed.pictures_per_second, rel=0.1)
