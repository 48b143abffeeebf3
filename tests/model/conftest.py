"""The real `small`, loaded once, and rows that mix text with pictures."""

import pytest
import torch

from discreet.model import (
    IMAGE_TOKEN,
    Row,
    Vlm,
    adapter_parameters,
    base_of,
    build_prompt,
    load,
)


def talkative(vlm: Vlm, seed: int = 2) -> Vlm:
    """Return `tiny` with larger weights that says words; as built, it repeats one token."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in vlm.model.parameters():
            parameter.normal_(generator=draw)
        table = vlm.model.get_input_embeddings().weight
        for token in range(len(vlm.tokenizer)):
            if vlm.tokenizer.decode([token]) not in " abcdefgh":
                table[token] = 0
    return vlm


def shake(vlm: Vlm, seed: int = 1) -> Vlm:
    """Return the model after every trainable tensor and the projector were drawn anew."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapter_parameters(vlm).values():
            parameter.normal_(generator=draw)
        for parameter in base_of(vlm).model.multi_modal_projector.parameters():
            parameter.normal_(generator=draw)
    return vlm


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
