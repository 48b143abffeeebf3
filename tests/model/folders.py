"""Tiny random checkpoints of every family, as a lab would bring them: weights, words, pictures."""

from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from discreet.model import Family, FamilyName, build_family, family_of

SPECIAL = ["<pad>", "<bos>", "<eos>", "<start_of_image>", "<end_of_image>", "<video>", "<image>"]
"""In the order of the ids that `build_family` gives them."""
TURNS = ["<start_of_turn>", "<end_of_turn>", "<fake_token_around_image>", "<global-img>"]
TEMPLATE = (
    "{% for m in messages %}<start_of_turn>{{ m['role'] }}\n{{ m['content'] }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>assistant\n{% endif %}"
)
PARTS_TEMPLATE = TEMPLATE.replace(
    "{{ m['content'] }}",
    "{% for p in m['content'] %}{% if p['type'] == 'text' %}{{ p['text'] }}{% endif %}{% endfor %}",
)
"""One that reads messages as lists of parts only, as those of SmolVLM do."""
END = len(SPECIAL) + TURNS.index("<end_of_turn>")


def tokenizer(template: str | None = TEMPLATE) -> hf.PreTrainedTokenizerFast:
    """Return a tokenizer of bytes whose turns end with another token than its `eos_token`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [*SPECIAL, *TURNS, *alphabet]
    core = Tokenizer(models.BPE(vocab={name: n for n, name in enumerate(names)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        additional_special_tokens=[*SPECIAL[3:], *TURNS],
        chat_template=template,
        padding_side="left",
    )


def image_processor(name: FamilyName, side: int) -> Any:
    """Return the family's own processor without torchvision, for small pictures."""
    square = {"height": side, "width": side}
    if name == "llava":
        return hf.models.clip.image_processing_pil_clip.CLIPImageProcessorPil(
            size={"shortest_edge": side}, crop_size=square
        )
    if name == "paligemma":
        kind = hf.models.siglip.image_processing_pil_siglip.SiglipImageProcessorPil
        return kind(size=square)
    if name == "gemma3":
        kind = hf.models.gemma3.image_processing_pil_gemma3.Gemma3ImageProcessorPil
        return kind(size=square)
    if name == "smolvlm":
        kind = hf.models.smolvlm.image_processing_pil_smolvlm.SmolVLMImageProcessorPil
    elif name == "idefics3":
        kind = hf.models.idefics3.image_processing_pil_idefics3.Idefics3ImageProcessorPil
    else:
        kind = hf.models.qwen2_vl.image_processing_pil_qwen2_vl.Qwen2VLImageProcessorPil
        return kind(patch_size=4, temporal_patch_size=1, merge_size=2)
    edges = {"longest_edge": side}
    return kind(size={"longest_edge": 4 * side}, max_image_size=edges)


def talking(name: FamilyName, *, scale: float = 0.3, is_wide: bool = False) -> Family:
    """Return the tiny member with as many embeddings as the tokenizer has words, and louder.

    As built, it says the same whatever it is shown, and no fault would be heard.
    """
    family = _wide_llava() if is_wide else build_family(name)
    words = len(tokenizer())
    with torch.random.fork_rng():
        torch.manual_seed(3)
        family.model.resize_token_embeddings(words, mean_resizing=False)
        for name_of, parameter in family.model.named_parameters():
            if parameter.ndim > 1 and "embed" not in name_of:
                parameter.data.mul_(12.0)
        for word in (family.model.get_input_embeddings(), family.model.get_output_embeddings()):
            word.weight.data.normal_(std=scale)
    family.model.config.text_config.max_position_embeddings = 1024
    family.model.generation_config.eos_token_id = [SPECIAL.index("<eos>"), END]
    family.model.generation_config.pad_token_id = 0
    return family


def _wide_llava() -> Family:
    """Return a LLaVA whose language layers have 64 inputs or more, as 4 bits need."""
    config = build_family("llava").model.config
    sizes = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16}
    for key, value in sizes.items():
        setattr(config.text_config, key, value)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return family_of(hf.LlavaForConditionalGeneration(config))


def save_member(
    name: FamilyName, folder: Path, *, template: str | None = TEMPLATE, is_wide: bool = False
) -> Path:
    """Write the folder that a lab would bring."""
    family = talking(name, is_wide=is_wide)
    family.model.save_pretrained(folder)
    tokenizer(template).save_pretrained(folder)
    image_processor(name, family.side or 16).save_pretrained(folder)
    return folder
