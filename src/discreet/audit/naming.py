"""Which words of an example its gradient names, where an adapted layer reads words: the first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from discreet.audit.inverting import Target, batch_of
from discreet.audit.subject import Subject
from discreet.model import Vlm, adapter_parameters, base_of
from discreet.reconstruction import Gradients, measure_recovery, row_space, tokens_in_span

_READS_WORDS = (".q_proj.", ".k_proj.", ".v_proj.")
_CHUNK = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """What the gradients of the first layer name of one example's words."""

    named: int
    precision: float
    recall: float
    rank: int
    """Widest span of a gradient's rows."""
    is_full: bool
    """Whether every span is all there is, so that no word can be named."""


class _Caught(Exception):
    """Ends a pass once the first layer's input is known."""


def name_tokens(
    subject: Subject, target: Target, seen: Mapping[str, Gradients]
) -> dict[str, Named]:
    """Return which words each thing that was seen names; empty if no adapted layer reads words."""
    vlm = subject.task.vlm
    names = list(adapter_parameters(vlm))
    chosen = [
        place
        for place, name in enumerate(names)
        if ".layers.0." in name and any(kind in name for kind in _READS_WORDS)
    ]
    if not chosen:
        return {}
    ids = batch_of(target).input_ids.flatten().tolist()
    there = set(ids) - {vlm.image_token_id, int(vlm.tokenizer.pad_token_id)}
    vectors = {place: _vectors(vlm, names[place]) for place in chosen}
    found = {}
    for seen_as, gradients in seen.items():
        every = [tokens_in_span(gradients[place], vectors[place]) for place in chosen]
        ranks = [len(row_space(gradients[place])) for place in chosen]
        recovery = measure_recovery(torch.stack(every).any(0), there)
        found[seen_as] = Named(
            named=recovery.named,
            precision=recovery.precision,
            recall=recovery.recall,
            rank=max(ranks),
            is_full=all(r == gradients[p].shape[1] for r, p in zip(ranks, chosen, strict=True)),
        )
    return found


@torch.no_grad()
def _vectors(vlm: Vlm, name: str) -> torch.Tensor:
    """Return what each word of the vocabulary is where it enters a factor, (V, in)."""
    layer = vlm.model.get_submodule(name.split(".lora_")[0])
    caught: list[torch.Tensor] = []

    def catch(module: Any, given: tuple[torch.Tensor, ...]) -> None:
        caught.append(given[0][0].float())
        raise _Caught

    base = base_of(vlm)
    ids = torch.arange(base.get_input_embeddings().num_embeddings)
    ids[ids == vlm.image_token_id] = int(vlm.tokenizer.pad_token_id)  # a picture is no word
    handle: Any = layer.register_forward_pre_hook(catch)
    try:
        for chunk in ids.split(_CHUNK):
            try:
                vlm.model(input_ids=chunk[None], use_cache=False)
            except _Caught:
                continue
    finally:
        handle.remove()
    inputs = torch.cat(caught)
    if ".lora_A." in name:
        return inputs
    factor: torch.Tensor = layer.lora_A[name.split(".lora_B.")[1].split(".")[0]].weight
    return inputs @ factor.float().T
