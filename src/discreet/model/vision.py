"""EfficientNet-Lite0 as a Hugging Face vision tower.

It turns a picture into a 4 x 4 grid of visual tokens. Each token joins three views of the face:
what its own cell shows at the last layer, the finer strokes of an earlier layer inside the cell,
and the mean over the whole picture. It is not trained here; `feature_mean` and `feature_std`
standardise its output so that a small projector learns fast.

    >>> tower = EfficientNetLiteModel(EfficientNetLiteConfig()).eval()
    >>> tower(torch.zeros(1, 3, 224, 224)).last_hidden_state.shape
    torch.Size([1, 16, 3008])

Source: Tan and Le 2019 (arXiv:1905.11946); the Lite variant drops squeeze-excitation and swish.
"""

from typing import Any

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch.nn.functional import adaptive_avg_pool2d, pixel_unshuffle
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

GRID = 4
LAST_CHANNELS = 1280
FINE_CHANNELS = 112
FINE_BLOCK = 10
"""Last block at stride 16 (14 x 14 cells of a 224 px picture)."""


class EfficientNetLiteConfig(PretrainedConfig):
    """Shape of the tower's output, in the words that LLaVA's config expects."""

    model_type = "discreet_efficientnet_lite"

    def __init__(
        self,
        hidden_size: int = 2 * LAST_CHANNELS + 4 * FINE_CHANNELS,
        image_size: int = 224,
        patch_size: int = 224 // GRID,
        **kwargs: Any,
    ) -> None:
        """Keep the sizes; `hidden_size` is the width of one visual token."""
        super().__init__(**kwargs)
        self.hidden_size = hidden_size
        self.image_size = image_size
        self.patch_size = patch_size


class EfficientNetLiteModel(PreTrainedModel):
    """The tower: (N, 3, 224, 224) pixels, ImageNet-normalised, to (N, 16, hidden_size) tokens."""

    config_class = EfficientNetLiteConfig
    main_input_name = "pixel_values"

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        """Build the network with random weights; `base.load` fills in the real ones."""
        super().__init__(config)
        self.net = EfficientNet.from_name("efficientnet-lite0")
        self.net._fc = torch.nn.Identity()
        self.register_buffer("feature_mean", torch.zeros(config.hidden_size))
        self.register_buffer("feature_std", torch.ones(config.hidden_size))
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Leave the layers' own initialisation alone."""

    def forward(self, pixel_values: torch.Tensor, **_: Any) -> BaseModelOutputWithPooling:
        """Return standardised tokens (N, 16, hidden_size) and their mean (N, hidden_size)."""
        last, fine = self._feature_maps(pixel_values)
        cells = adaptive_avg_pool2d(last, GRID)
        strokes = pixel_unshuffle(adaptive_avg_pool2d(fine, 2 * GRID), 2)
        whole = last.mean((2, 3), keepdim=True).expand(-1, -1, GRID, GRID)
        tokens = torch.cat([cells, strokes, whole], 1).flatten(2).transpose(1, 2)
        tokens = (tokens - self.feature_mean) / self.feature_std
        return BaseModelOutputWithPooling(
            last_hidden_state=tokens,
            pooler_output=tokens.mean(1),
            hidden_states=(tokens,),
        )

    def _feature_maps(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the last map (N, 1280, 7, 7) and the fine one (N, 112, 14, 14)."""
        net = self.net
        maps = net._swish(net._bn0(net._conv_stem(pixel_values)))
        fine = maps
        for index, block in enumerate(net._blocks):
            maps = block(maps)
            if index == FINE_BLOCK:
                fine = maps
        return net._swish(net._bn1(net._conv_head(maps))), fine


def register() -> None:
    """Make `AutoModel` know the tower; calling it twice does no harm."""
    AutoConfig.register(EfficientNetLiteConfig.model_type, EfficientNetLiteConfig, exist_ok=True)
    AutoModel.register(EfficientNetLiteConfig, EfficientNetLiteModel, exist_ok=True)
