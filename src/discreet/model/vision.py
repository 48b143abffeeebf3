"""EfficientNet-Lite0 as a Hugging Face vision tower that hands on 24 bits of a picture.

What the network sees of a picture (its views) says far more of a person than an answer may use. The
tower keeps it to itself: a linear map that was taught to keep age band and expression through noise
(`discreet recipe erase`) makes 24 numbers of the views, and only their signs leave the tower, as
visual tokens that differ by their place alone. What those bits still tell is measured by
`discreet audit probes`.

    >>> tower = EfficientNetLiteModel(EfficientNetLiteConfig()).eval()
    >>> tower(torch.zeros(1, 3, 224, 224)).last_hidden_state.shape
    torch.Size([1, 4, 28])

Source: Tan and Le 2019 (arXiv:1905.11946); the Lite variant drops squeeze-excitation and swish.
"""

from typing import Any

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch.nn.functional import adaptive_avg_pool2d, pixel_unshuffle
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

CODE = 24
"""Bits that leave the tower."""
TOKENS = 4
"""Visual tokens that carry them; a language model reads several more easily than one."""
VIEWS = 1280 + 64 * 112
"""Width of the views."""
GRID = 4
FINE_BLOCK = 10
"""Last block at stride 16 (14 x 14 cells of a 224 px picture)."""


class EfficientNetLiteConfig(PretrainedConfig):
    """Shape of the tower's output, in the words that LLaVA's config expects."""

    model_type = "discreet_efficientnet_lite"

    def __init__(
        self,
        hidden_size: int = CODE + TOKENS,
        image_size: int = 224,
        patch_size: int = 112,
        **kwargs: Any,
    ) -> None:
        """Keep the sizes; `hidden_size` is the width of one visual token."""
        super().__init__(**kwargs)
        self.hidden_size = hidden_size
        self.image_size = image_size
        self.patch_size = patch_size


class EfficientNetLiteModel(PreTrainedModel):
    """The tower: (N, 3, 224, 224) pixels, ImageNet-normalised, to (N, TOKENS, CODE + TOKENS)."""

    config_class = EfficientNetLiteConfig
    main_input_name = "pixel_values"

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        """Build the network with random weights; `base.load` fills in the real ones."""
        super().__init__(config)
        self.net = EfficientNet.from_name("efficientnet-lite0")
        self.net._fc = torch.nn.Identity()
        self.register_buffer("eraser_weight", torch.zeros(CODE, VIEWS))
        self.register_buffer("eraser_bias", torch.zeros(CODE))
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Leave the layers' own initialisation alone."""

    def forward(self, pixel_values: torch.Tensor, **_: Any) -> BaseModelOutputWithPooling:
        """Return visual tokens (N, TOKENS, CODE + TOKENS) and their mean over tokens."""
        tokens = as_tokens(self.code(self.views(pixel_values)))
        return BaseModelOutputWithPooling(
            last_hidden_state=tokens,
            pooler_output=tokens.mean(1),
            hidden_states=(tokens,),
        )

    def code(self, views: torch.Tensor) -> torch.Tensor:
        """Return the bits (N, CODE), each 1 or -1, of views (N, VIEWS)."""
        return as_bits(views @ self.eraser_weight.T + self.eraser_bias)

    def views(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Return all that is seen of pictures, (N, VIEWS): nothing that may leave the tower.

        First the mean of the last layer, which tells the age, then the finer strokes of an earlier
        layer, cell by cell, which tell the expression and where faces are.
        """
        last, fine = self._feature_maps(pixel_values)
        whole = adaptive_avg_pool2d(last, GRID).mean((2, 3))
        strokes = pixel_unshuffle(adaptive_avg_pool2d(fine, 2 * GRID), 2)
        return torch.cat([whole, strokes.flatten(2).transpose(1, 2).flatten(1)], 1)

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


def as_bits(scores: torch.Tensor) -> torch.Tensor:
    """Return 1 where a score (N, CODE) is above 0, and -1 elsewhere, also where it is none."""
    return (scores > 0).to(scores.dtype) * 2 - 1


def as_tokens(bits: torch.Tensor) -> torch.Tensor:
    """Return bits (N, CODE) as visual tokens (N, TOKENS, CODE + TOKENS): all bits and a place."""
    count = len(bits)
    places = torch.eye(TOKENS, dtype=bits.dtype, device=bits.device)
    return torch.cat(
        [bits[:, None].expand(-1, TOKENS, -1), places[None].expand(count, -1, -1)], dim=2
    )


def register() -> None:
    """Make `AutoModel` know the tower; calling it twice does no harm."""
    AutoConfig.register(EfficientNetLiteConfig.model_type, EfficientNetLiteConfig, exist_ok=True)
    AutoModel.register(EfficientNetLiteConfig, EfficientNetLiteModel, exist_ok=True)
