"""Losses of answers on a base of any family are of one example each, and so are their gradients."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from discreet.model import (
    FAMILIES,
    FamilyName,
    LoraSpec,
    adapter_parameters,
    answer_losses,
    attach_lora,
    collate,
    load,
)
from discreet.model.probes import probe_features, probe_rows
from discreet.privacy import check_exactness
from tests.model.folders import save_member


@pytest.mark.parametrize("core", [False, True], ids=["B", "core"])
@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_of_answers_are_exact_on_a_base_of_any_family(
    name: FamilyName, core: bool, tmp_path: Path
) -> None:
    vlm = load(str(save_member(name, tmp_path / name)))
    spec = LoraSpec(r=2, layers=2, target_modules=("q_proj", "v_proj"), core=core)
    adapted = attach_lora(vlm, spec)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in adapter_parameters(adapted).values():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=draw))
    rows, features = probe_rows(), probe_features(vlm)
    pictures = {0: features[:1], 2: features[1:]}

    def loss_of(drawn: Sequence[int]) -> torch.Tensor:
        seen = [pictures[index] for index in drawn if index in pictures]
        batch = collate(adapted, [rows[index] for index in drawn])
        return answer_losses(adapted, batch, torch.cat(seen) if seen else None)

    report = check_exactness(adapted.model, loss_of, [[0, 1, 2], [2, 2], [1]])
    assert report.is_exact, report.problems
    assert not report.unused
