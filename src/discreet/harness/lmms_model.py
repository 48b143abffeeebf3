"""The assistant's model for lmms-eval: `--model discreet --model_args adapter=reference`.

Imports lmms-eval, which is no requirement: `manifest` names this file, and only lmms-eval reads it.
"""

from pathlib import Path
from typing import Any

from lmms_eval.api.model import lmms
from PIL.Image import Image

from discreet.harness.writing import Asked, load_vlm, write_answers

_WAY_OUT = "Take the tasks of `discreet bench tasks --export-lmms-eval`."


class Discreet(lmms):
    """A base of ours with an adapter, or any checkpoint that we load.

    Args:
        adapter: Run id, run folder, `reference`, `federated`, or `none`.
        base: Without an adapter: `small`, `tiny` or a folder.
        runs: Where run ids lie.
        batch_size: Requests in one pass.
        cache: Folder of the converted base.
        device: Only `cpu` and what the base loads on; taken because lmms-eval passes it.
    """

    is_simple = False

    def __init__(
        self,
        adapter: str = "reference",
        base: str = "small",
        runs: str = "runs",
        batch_size: int | str = 8,
        cache: str | None = None,
        device: str = "cpu",
        **others: Any,
    ) -> None:
        super().__init__()
        if others:
            raise ValueError(
                "Expected adapter, base, runs, batch_size, cache and device, got "
                f"{sorted(others)}, too. Leave them out of --model_args."
            )
        self._vlm = load_vlm(
            adapter, base, runs=Path(runs), cache=None if cache is None else Path(cache)
        )
        self.batch_size = int(batch_size)

    def generate_until(self, requests: list[Any]) -> list[str]:
        """Return greedy answers."""
        asked = []
        for request in requests:
            _, doc_to_messages, settings, doc_id, task, split = request.args
            messages = doc_to_messages(self.task_dict[task][split][doc_id])
            most = int(settings.get("max_new_tokens", 96))
            stop = settings.get("until") or ()
            stop = (stop,) if isinstance(stop, str) else tuple(stop)
            asked.append(asked_of(messages, max_new_tokens=most, stop=stop))
        return write_answers(self._vlm, asked, batch=self.batch_size)

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Refuse: our tasks let the model write."""
        raise NotImplementedError(
            "Expected tasks that let the model write, got log-likelihoods. " + _WAY_OUT
        )

    def generate_until_multi_round(self, requests: list[Any]) -> list[str]:
        """Refuse: our tasks have one turn."""
        raise NotImplementedError("Expected tasks of one turn, got several. " + _WAY_OUT)


def asked_of(
    messages: list[dict[str, Any]], *, max_new_tokens: int, stop: tuple[str, ...]
) -> Asked:
    """Return the text and pictures of messages in lmms-eval's form."""
    texts: list[str] = []
    images: list[Image] = []
    for message in messages:
        content = message["content"]
        parts: list[dict[str, Any]] = content
        if isinstance(content, str):
            parts = [{"type": "text", "text": content}]
        for part in parts:
            if part["type"] == "text":
                texts.append(part["text"])
            elif part["type"] == "image":
                images.append(part["url"])
            else:
                raise ValueError(f"Expected text and images, got {part['type']!r}. {_WAY_OUT}")
    return Asked(
        text="\n".join(texts), images=tuple(images), max_new_tokens=max_new_tokens, stop=stop
    )
