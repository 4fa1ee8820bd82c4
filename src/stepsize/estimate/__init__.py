"""Pure mathematics on arrays: smoothing, suggestion rules, fits over rates. No torch."""

from stepsize.estimate.basin import Basin, basin, loss_at, minimising_rate
from stepsize.estimate.resampled import resampled
from stepsize.estimate.rules import RULES, suggest
from stepsize.estimate.shape import Shape, read_shape, smooth
from stepsize.estimate.smoothing import centred_average, debiased_average, finite_length, mean_over_seeds
from stepsize.estimate.suggestion import Suggestion, SuggestionStatus
from stepsize.estimate.transfer import Regret, Shift, chance_of_losing, overfitting

__all__ = [
    "RULES",
    "Basin",
    "Regret",
    "Shape",
    "Shift",
    "Suggestion",
    "SuggestionStatus",
    "basin",
    "centred_average",
    "chance_of_losing",
    "debiased_average",
    "finite_length",
    "loss_at",
    "mean_over_seeds",
    "minimising_rate",
    "overfitting",
    "read_shape",
    "resampled",
    "smooth",
    "suggest",
]
