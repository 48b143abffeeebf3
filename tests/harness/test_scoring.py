"""Any model on our tasks: ours with an adapter, and a checkpoint of transformers."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import transformers as hf
from PIL import Image

from discreet.errors import DiscreetError
from discreet.harness import (
    Asked,
    answerer_of,
    as_task_table,
    load_vlm,
    score_model,
    write_answers,
)
from tests.model.folders import TEMPLATE, image_processor, save_member, tokenizer

BOTH = TEMPLATE.replace(
    "{{ m['content'] }}",
    "{% for p in m['content'] %}{% if p['type'] == 'text' %}{{ p['text'] }}"
    "{% else %}<image>\n{% endif %}{% endfor %}",
)
"""A template that reads messages as lists of parts, pictures among them."""


def test_each_item_is_given_once_with_its_picture() -> None:
    asked: list[Asked] = []

    def answer(part: Sequence[Asked]) -> list[str]:
        asked.extend(part)
        return ["Rest."] * len(part)

    found = score_model(answer, ("personalised", "twins"), limit=5, batch=2)
    assert len(asked) == 5 + 4, "of twins, whole pairs"
    assert all(len(one.images) == 1 for one in asked)
    assert found["twins"]["texts_differ"] == 0
    table = as_task_table({"a": found})
    assert "personalised: fits ↑" in table
    assert "twins: texts_differ ↓" in table


def test_a_batch_answers_as_each_alone(tmp_path: Path) -> None:
    vlm = load_vlm("none", "tiny", runs=tmp_path, cache=None)
    pictures = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    asked = [
        Asked(text="Who asks?", images=(pictures[0],), max_new_tokens=6),
        Asked(text="No picture here.", max_new_tokens=6),
        Asked(text="Again <image> and <|im_end|>.", images=(pictures[1],), max_new_tokens=6),
    ]
    together = write_answers(vlm, asked, batch=3)
    assert together == [write_answers(vlm, [one])[0] for one in asked]


@pytest.mark.parametrize("template", [TEMPLATE, BOTH])
def test_a_checkpoint_of_transformers_is_asked_by_its_own_template(
    tmp_path: Path, template: str
) -> None:
    """With a template of words and one of parts, it writes what transformers writes."""
    folder = save_member("llava", tmp_path / "other", template=template)
    config = hf.LlavaConfig.from_pretrained(folder)
    processor = hf.LlavaProcessor(
        image_processor("llava", config.vision_config.image_size),
        tokenizer(template),
        patch_size=config.vision_config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=1,
        chat_template=template,
    )
    processor.save_pretrained(folder)
    answer = answerer_of(str(folder), runs=tmp_path)
    picture = Image.new("RGB", (40, 40), "red")
    (written,) = answer([Asked(text="Who?", images=(picture,), max_new_tokens=5)])
    prompt = "<start_of_turn>user\n<image>\nWho?<end_of_turn>\n<start_of_turn>assistant\n"
    inputs = processor(text=prompt, images=[picture], return_tensors="pt")
    model = hf.LlavaForConditionalGeneration.from_pretrained(folder).eval()
    new = model.generate(**inputs, max_new_tokens=5, do_sample=False)[
        0, inputs.input_ids.shape[1] :
    ]
    assert written == processor.decode(new, skip_special_tokens=True).strip()
    found = score_model(answer, ("attribute_leak",), limit=2)
    assert set(found["attribute_leak"]) == {"tells", "refuses", "empty"}


def test_a_folder_that_is_no_checkpoint_says_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(DiscreetError, match="safetensors"):
        answerer_of(str(tmp_path), runs=tmp_path)


def test_a_checkpoint_without_a_whole_processor_may_still_be_a_base_of_ours(
    tmp_path: Path,
) -> None:
    folder = save_member("llava", tmp_path / "other")
    with pytest.raises(DiscreetError, match="--base FOLDER"):
        answerer_of(str(folder), runs=tmp_path)
    answer = answerer_of("none", base=str(folder), runs=tmp_path)
    assert len(answer([Asked(text="Who asks?", max_new_tokens=2)])) == 1


def test_no_code_of_a_checkpoint_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even if somebody would say yes."""
    folder = save_member("llava", tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = dict.fromkeys(("AutoConfig", "AutoModelForImageTextToText"), "evil.Evil")
    config["model_type"] = "evil"
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    monkeypatch.setattr("builtins.input", lambda *words: "y")
    with pytest.raises(DiscreetError):
        answerer_of(str(folder), runs=tmp_path)
    assert not (tmp_path / "ran").exists()
