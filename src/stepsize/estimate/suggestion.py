"""What a rule has to say about a curve: a rate, or the reason why there is none."""

from __future__ import annotations

from typing import Literal

import msgspec

SuggestionStatus = Literal["ok", "too_few_points", "diverged", "flat", "rising", "falling", "out_of_range"]
"""Why a rule has an answer, or none.

- `ok`: the rule applies, `lr` is its answer.
- `too_few_points`: fewer rates than the rule needs.
- `diverged`: the loss was non-finite before there was anything to read.
- `flat`: the loss does not change by more than its own noise.
- `rising`: the loss never falls below where it starts.
- `falling`: the loss still falls at the largest rate, so the test ended too early.
- `out_of_range`: the rule's answer lies outside the tested rates.
"""


class Suggestion(msgspec.Struct, frozen=True):
    """One rule's answer on one curve.

    `lr` is a rate within the tested range when `status` is `ok`, and None otherwise; `why` is one
    sentence, which for a status other than `ok` says what to do.
    """

    rule: str
    lr: float | None
    status: SuggestionStatus
    why: str
