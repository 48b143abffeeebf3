"""Scores of a model on our tasks without another harness, and of any checkpoint on disk.

found = score_model(answerer_of("runs/first", runs=Path("runs")), ("twins",))
print(as_task_table({"first": found}))
"""

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from discreet.errors import DiscreetError
from discreet.harness.items import MAX_NEW_TOKENS, Item, Task, items_of, judged, scores_of
from discreet.harness.writing import Asked, load_vlm, write_answers

Answerer = Callable[[Sequence[Asked]], list[str]]
"""Writes a greedy answer to each text with its pictures."""


def score_model(
    answer: Answerer,
    tasks: Sequence[Task],
    *,
    limit: int | None = None,
    batch: int = 8,
    on_done: Callable[[int], None] = lambda count: None,
) -> dict[Task, dict[str, float]]:
    """Return the numbers of each task.

    Args:
        answer: Of the model.
        tasks: Which.
        limit: Items of each at most; of twins, whole pairs.
        batch: Items that the model is given at once.
        on_done: Told after each batch how many items it had.
    """
    found: dict[Task, dict[str, float]] = {}
    for task in tasks:
        items = items_of(task)
        items = items[: limit if limit is None or task != "twins" else limit - limit % 2]
        said = []
        for start in range(0, len(items), batch):
            part = items[start : start + batch]
            answers = answer([_asked(item) for item in part])
            said += [judged(item, text) for item, text in zip(part, answers, strict=True)]
            on_done(len(part))
        found[task] = {score.name: score.of(said) for score in scores_of(task)}
    return found


def answerer_of(
    model: str, *, base: str = "small", runs: Path, cache: Path | None = None
) -> Answerer:
    """Return what answers for a model.

    Args:
        model: Run id, run folder, `reference`, `federated` or `none`; or a folder with a checkpoint
            of transformers that reads pictures and text, of any family.
        base: With `none`.
        runs: Where run ids lie.
        cache: Folder of the converted base.
    """
    folder = Path(model)
    if (folder / "config.json").is_file():
        return _of_transformers(folder)
    vlm = load_vlm(model, base, runs=runs, cache=cache)
    return lambda asked: write_answers(vlm, asked)


def _of_transformers(folder: Path) -> Answerer:
    """Return what answers for a checkpoint, by its own chat template.

    Nothing is looked up elsewhere, no code of the folder is run, and no pickle is read.

    Raises:
        DiscreetError: if transformers cannot load and ask it so.
    """

    @torch.no_grad()
    def answer(asked: Sequence[Asked]) -> list[str]:
        texts = []
        for one in asked:
            prompt = _prompt(processor, one)
            inputs = processor(
                text=prompt, images=list(one.images) or None, return_tensors="pt"
            ).to(model.device)
            written = model.generate(**inputs, max_new_tokens=one.max_new_tokens, do_sample=False)
            new = written[0, inputs["input_ids"].shape[1] :]
            texts.append(processor.decode(new, skip_special_tokens=True).strip())
        return texts

    try:
        processor = AutoProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        model = AutoModelForImageTextToText.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True
        ).eval()
        answer([Asked(text="?", images=(Image.new("RGB", (64, 64)),), max_new_tokens=1)])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise DiscreetError(
            f"Expected a checkpoint that transformers asks with a picture and a text in "
            f"'{folder.name}', got one that it cannot ({type(error).__name__}). It needs "
            "config.json, a processor with a chat template, and weights as safetensors. With "
            "--model none --base FOLDER it is loaded as a base of ours, which asks for less."
        ) from error
    return answer


def _prompt(processor: Any, asked: Asked) -> str:
    """Return pictures and text in the chat template: as parts if it reads them, else as text."""
    picture = getattr(processor, "image_token", "<image>")
    parts = [{"type": "image"} for _ in asked.images] + [{"type": "text", "text": asked.text}]
    content: Any
    for content in (parts, f"{picture}\n" * len(asked.images) + asked.text):
        prompt: str = processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        if asked.text in prompt and prompt.count(picture) == len(asked.images):
            break
    return prompt


def _asked(item: Item) -> Asked:
    image = Image.open(BytesIO(item.jpeg)).convert("RGB")
    return Asked(text=item.text, images=(image,), max_new_tokens=MAX_NEW_TOKENS)


def as_task_table(found: Mapping[str, Mapping[Task, Mapping[str, float]]]) -> str:
    """Return a Markdown table with a line for each model; arrows say which way is better."""
    tasks: dict[Task, list[str]] = {}
    for own in found.values():
        for task, numbers in own.items():
            tasks[task] = list(numbers)
    better = {(task, s.name): s.is_more_better for task in tasks for s in scores_of(task)}
    heads = [
        f"{task}: {name} {'↑' if better[task, name] else '↓'}"
        for task, names in tasks.items()
        for name in names
    ]
    lines = [["model", *heads], ["---"] * (1 + len(heads))]
    for model, own in found.items():
        cells = [f"{own[task][name]:.2f}" for task, names in tasks.items() for name in names]
        lines.append([model, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
