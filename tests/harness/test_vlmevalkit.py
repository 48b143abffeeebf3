"""Our tasks inside the real VLMEvalKit, which is on no registry: skipped where it is not found."""

from pathlib import Path

import pytest
from PIL import Image

kit = pytest.importorskip("vlmeval", reason="VLMEvalKit is to be cloned, and found by Python")

from vlmeval.dataset import build_dataset  # noqa: E402

from discreet.harness import (  # noqa: E402
    TASKS,
    Asked,
    Task,
    answerer_of,
    score_model,
    write_tables,
)
from discreet.harness.vlmevalkit import register  # noqa: E402


@pytest.mark.parametrize("task", TASKS)
def test_it_asks_and_scores_as_we_do(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tables(tmp_path)
    monkeypatch.setenv("LMUData", str(tmp_path))
    register()
    found = build_dataset(f"discreet_{task}")
    answer = answerer_of("none", base="tiny", runs=tmp_path)
    asked = []
    for place in range(len(found)):
        parts = found.build_prompt(place)
        pictures = [Image.open(part["value"]) for part in parts if part["type"] == "image"]
        texts = [part["value"] for part in parts if part["type"] == "text"]
        asked.append(Asked(text="\n".join(texts), images=tuple(pictures)))
    rows = found.data.drop(columns="image").copy()
    rows["prediction"] = [a for at in range(0, len(asked), 8) for a in answer(asked[at : at + 8])]
    rows.to_excel(tmp_path / "predicted.xlsx")
    theirs = found.evaluate(str(tmp_path / "predicted.xlsx"))
    for name, value in score_model(answer, (task,))[task].items():
        assert theirs[name] == pytest.approx(value), name
