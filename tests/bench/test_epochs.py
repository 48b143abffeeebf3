"""Epochs with kept states are the same epochs."""

import pytest
import torch

from discreet.bench import measure_epochs


@pytest.mark.slow
def test_epochs_with_kept_states_give_the_same_sums() -> None:
    steps: list[str] = []
    found = measure_epochs(examples=2, batch=1, epochs=2, on_step=steps.append)
    assert steps == ["epochs, plain", "epochs, kept"] * 4
    assert found.sum_difference <= 1e-2  # of summing up the loss over 49,153 words in float32
    assert found.kept_bytes > 0
    assert (found.layers, found.of_layers, found.kept_dtype) == (10, 30, "float32")
    halves = measure_epochs(examples=2, batch=2, epochs=2, dtype=torch.float16)
    assert halves.kept_bytes == found.kept_bytes / 2


def test_one_epoch_says_nothing() -> None:
    with pytest.raises(ValueError, match="2 epochs or more"):
        measure_epochs(epochs=1)
