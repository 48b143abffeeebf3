"""Runs of the tests of this room over a changed copy of the package, forked where all else is in.

    Nursery.of("privacy.mutants").run(folder="...", arguments=["tests/privacy/test_clipping.py"])

What the copy and its tests need of others is imported once, and nothing of `discreet` with it. A
run leaves in its folder what pytest printed (`said`) and, if the copy is what it ran over, the exit
status of pytest (`status`).
"""

import os
import sys
from importlib import import_module
from pathlib import Path

import pytest
from nursery import serve

ROOT = Path(__file__).parents[2]
OTHERS = """cryptography.hazmat.primitives.ciphers dp_accounting.pld.privacy_loss_distribution
efficientnet_lite_pytorch hypothesis.strategies opacus.accountants opacus.grad_sample
opacus.optimizers opacus.utils.fast_gradient_clipping_utils peft pyarrow.parquet safetensors.torch
scipy.integrate scipy.optimize scipy.signal scipy.stats transformers.models.clip.modeling_clip
transformers.models.llama.modeling_llama transformers.models.llava.modeling_llava"""
"""Modules that take seconds to import. Hypothesis is one whose asserts pytest would rewrite."""
OPTIONS = ["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore:Module already imported"]


def run(folder: str, arguments: list[str]) -> None:
    """Run pytest over the package that lies in a folder."""
    home = Path(folder)
    said = os.open(home / "said", os.O_WRONLY | os.O_CREAT)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.chdir(ROOT)
    os.environ["PYTHONPATH"] = folder
    sys.path.insert(0, folder)
    status = pytest.main([*OPTIONS, *arguments])
    used = import_module("discreet.privacy").__file__
    assert used == str(home / "discreet" / "privacy" / "__init__.py")
    (home / "status").write_text(str(int(status)))


if __name__ == "__main__":
    for other in OTHERS.split():
        import_module(other)
    del sys.modules["discreet"]
    assert not [name for name in sys.modules if name.startswith("discreet.")]
    serve(run)
