"""What lmms-eval finds by the entry point `lmms_eval.models`: the name of our model's class."""

from typing import Any


def manifest() -> Any:
    """Return the manifest of the model `discreet`, read by lmms-eval alone."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(
        model_id="discreet", chat_class_path="discreet.harness.lmms_model.Discreet"
    )
