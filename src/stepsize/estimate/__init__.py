"""Pure mathematics on arrays: smoothing, suggestion rules, fits over rates. No torch."""

from stepsize.estimate.basin import Basin, basin, loss_at, minimising_rate
from stepsize.estimate.horizon import horizon_trend
from stepsize.estimate.rules import RULES, suggest
from stepsize.estimate.shape import Shape, read_shape, smooth
from stepsize.estimate.smoothing import centred_average, debiased_average, finite_length, mean_over_seeds
from stepsize.estimate.suggestion import Suggestion, SuggestionStatus

__all__ = [
    "RULES",
    "Basin",
    "Shape",
    "Suggestion",
    "SuggestionStatus",
    "basin",
    "centred_average",
    "debiased_average",
    "finite_length",
    "horizon_trend",
    "loss_at",
    "mean_over_seeds",
    "minimising_rate",
    "read_shape",
    "smooth",
    "suggest",
]
