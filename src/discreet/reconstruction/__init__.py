"""What an update gives back of the example it was computed from: pictures and words."""

from discreet.reconstruction.features import (
    Decoder,
    centred_cosine,
    fit_decoder,
    rank_in_gallery,
    rank_of,
)
from discreet.reconstruction.inversion import (
    Gradients,
    GradientsOf,
    Inverted,
    Search,
    cosine_distance,
    invert,
    total_variation,
)
from discreet.reconstruction.rows import (
    TokenRecovery,
    measure_recovery,
    row_space,
    rows_that_moved,
    tokens_in_span,
)
from discreet.reconstruction.similarity import SIGMA, WINDOW, psnr, ssim

__all__ = [
    "SIGMA",
    "WINDOW",
    "Decoder",
    "Gradients",
    "GradientsOf",
    "Inverted",
    "Search",
    "TokenRecovery",
    "centred_cosine",
    "cosine_distance",
    "fit_decoder",
    "invert",
    "measure_recovery",
    "psnr",
    "rank_in_gallery",
    "rank_of",
    "row_space",
    "rows_that_moved",
    "ssim",
    "tokens_in_span",
    "total_variation",
]
