"""The attacker's recogniser is optional, is the one that is known, and knows people again."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import discreet
from discreet.data import load_portraits
from discreet.errors import ArtifactCorrupt, ExtraMissing
from discreet.leakage import identify, is_first_of_person, load_recogniser, recogniser

is_installed = importlib.util.find_spec("dlib") and importlib.util.find_spec(recogniser.PACKAGE)
installed = pytest.mark.skipif(
    not is_installed, reason="needs dlib-bin and face-recognition-models, for audits only"
)


@installed
def test_people_are_known_again_from_pictures() -> None:
    """12 people in another pose, light and mood; chance is 0.08."""
    portraits = [one for n, one in enumerate(load_portraits("test")[:84]) if n % 7 < 2]
    faces = load_recogniser()([portrait.image for portrait in portraits])
    who = np.array([portrait.identity_id for portrait in portraits])
    assert faces.vectors.shape == (24, recogniser.WIDTH)
    assert faces.found.mean() > 0.9
    first, x = is_first_of_person(who), faces.vectors
    found = identify(x[first], who[first], x[~first], who[~first], metric="euclidean")
    assert found.first.is_above_chance
    assert found.first.share > 0.4


@installed
def test_a_picture_without_a_face_is_told() -> None:
    faces = load_recogniser()([Image.new("L", (128, 128), 128)])
    assert not faces.found[0]
    assert np.isfinite(faces.vectors).all()


def test_one_file_alone_knows_of_it() -> None:
    """And nothing imports that file but the front door of its room."""
    package = Path(discreet.__file__).parent
    named = [path for path in package.rglob("*.py") if recogniser.PACKAGE in path.read_text()]
    assert [path.relative_to(package).as_posix() for path in named] == ["leakage/recogniser.py"]
    product = ("assistant", "model", "pages", "perception", "service")
    files = [path for room in product for path in (package / room).rglob("*.py")]
    assert files
    assert not [path for path in files if "discreet.leakage" in path.read_text()]


def test_what_is_not_installed_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dlib")
    monkeypatch.setattr(recogniser, "PACKAGE", "no_such_package")
    with pytest.raises(ExtraMissing, match=r"pip install 'discreet\[recogniser\]'"):
        load_recogniser()


def test_other_weights_are_refused_before_anything_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dlib")
    models = tmp_path / "changed_models" / "models"
    models.mkdir(parents=True)
    (tmp_path / "changed_models" / "__init__.py").write_text("raise RuntimeError")  # never run
    for name in recogniser.FILES:
        (models / name).write_bytes(b"other")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(recogniser, "PACKAGE", "changed_models")
    with pytest.raises(ArtifactCorrupt, match="another file"):
        load_recogniser()
