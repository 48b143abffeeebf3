"""What is timed is what it says: every way writes as many tokens, and ours the same words."""

from collections.abc import Sequence

import pytest
import torch

from discreet.bench import GENERATE_WAYS, as_speeds, measure_generation
from discreet.bench.generation import (
    BATCH,
    OURS,
    OURS_BATCH,
    PEFT_BATCH,
    PLAIN,
    _adapter,
    _our_ways,
    _plain_ways,
    _requests,
    _with_two,
)
from discreet.model import Row, Vlm

TOKENS = 4


@pytest.fixture(scope="module")
def vlm(tmp_path_factory: pytest.TempPathFactory) -> Vlm:
    scratch = tmp_path_factory.mktemp("adapters")
    return _with_two("tiny", [_adapter("tiny", seed, scratch, None) for seed in (1, 2)], None)


def written(vlm: Vlm, ways: Sequence[str]) -> dict[str, list[list[int]]]:
    """Return what the model's head said is likeliest at each step of each way."""
    requests = _requests()
    all_ways = _our_ways(vlm, requests)
    all_ways |= _plain_ways(vlm, [Row(messages=r.messages, answer="") for r in requests])
    found: dict[str, list[list[int]]] = {}
    for way in ways:
        said: list[torch.Tensor] = []
        head = vlm.model.get_base_model().lm_head
        hook = head.register_forward_hook(lambda m, a, out, said=said: said.append(out[:, -1]))
        all_ways[way](TOKENS)
        hook.remove()
        found[way] = torch.stack([scores.argmax(-1) for scores in said], 1).tolist()
    return found


def test_every_way_writes_all_tokens_and_the_same(vlm: Vlm) -> None:
    found = written(vlm, [PLAIN, OURS, PEFT_BATCH, OURS_BATCH])
    assert found[PLAIN] == found[OURS]
    assert found[PEFT_BATCH] == found[OURS_BATCH]
    assert [len(rows) for rows in found.values()] == [1, 1, BATCH, BATCH]
    assert all(len(row) == TOKENS for rows in found.values() for row in rows)


def test_a_measurement_can_be_written_and_read() -> None:
    steps: list[str] = []
    found = measure_generation(rounds=2, new_tokens=2, base="tiny", on_step=steps.append)
    assert len(steps) == 3 * len(GENERATE_WAYS)
    speeds = {speed.way: speed for speed in found.speeds}
    assert set(GENERATE_WAYS) <= set(speeds)
    assert speeds[PLAIN].ratio == speeds[PLAIN].ratio_high == speeds[PLAIN].first_ratio == 1
    for way in GENERATE_WAYS:
        speed = speeds[way]
        assert speed.ratio_low is not None
        assert speed.ratio_high is not None
        assert 0 < speed.ratio_low <= speed.ratio <= speed.ratio_high
    assert found.swap_cpu_seconds > 0
    assert len(found.prompt_tokens) == BATCH
    assert as_speeds(found).count("\n") == len(speeds) + 3
