"""What a verdict says of made-up rehearsals: sure, uncertain, and gone on with where a seed disagrees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec import structs

import stepsize as ss
from stepsize._result import frozen
from stepsize.decide import search
from stepsize.decide.rehearsal import Rehearsal, with_more_seeds
from stepsize.decide.speed import Speed
from stepsize.decide.verdict import Verdict, judge
from stepsize.estimate import Regret, resampled
from tests.report import samples
from tests.tasks import digits_task

RATES = np.geomspace(0.02, 6.0, 13)


def judged(rehearsal: Rehearsal) -> Verdict:
    return judge([rehearsal], trained=1000, held_out=1000)


def made_up(steps: int, seed: int = 0, best: float = 0.42, lrs: np.ndarray = RATES) -> Rehearsal:
    found = samples.rehearsal(steps, lrs, 1, np.random.default_rng(seed), cliff=1e9, best=best)
    return structs.replace(found, seeds=(seed,))


def test_a_whole_run_is_sure_and_a_fiftieth_of_it_is_not() -> None:
    whole, short = judged(made_up(860)), judged(made_up(17))
    assert whole.status == "ok"
    assert "chance" not in whole.why
    assert short.status == "uncertain"
    assert short.lr is not None
    assert "loses more than 5% of the progress in the real run: a larger budget" in short.why
    assert short.doubt > whole.doubt


def test_a_cliff_close_above_the_answer_is_doubted_until_the_whole_run_was_rehearsed() -> None:
    """Another seed's may lie lower: of one net the answer under such a cliff lost 24%."""

    def added(steps: int) -> float:
        found = samples.rehearsal(steps, RATES, 1, np.random.default_rng(0), cliff=0.8, best=0.42)
        verdict = judged(found)
        assert verdict.lr is not None
        assert verdict.outlook is not None
        draws = resampled(found.losses, found.folds)
        regret = Regret.measured(found.lrs, draws, found.start_loss)
        return verdict.doubt - float(regret.expected(verdict.lr, verdict.outlook.shift(found.share)))

    assert added(430) > 0.01
    assert added(860) == 0


def test_after_whole_runs_a_cliff_is_kept_away_from_the_further_the_fewer_seeds_saw_it() -> None:
    """Right under the cliff of its one seed, an answer lost everything with the next."""

    def answer(seeds: int, cliff: float) -> float:
        found = samples.rehearsal(860, RATES, 1, np.random.default_rng(0), cliff=cliff, best=0.42)
        together = structs.replace(found, seeds=tuple(range(seeds)))  # all see the same
        verdict = judged(together)
        assert verdict.lr is not None
        return verdict.lr

    assert answer(1, cliff=0.55) < answer(4, cliff=0.55) < 0.42
    assert answer(1, cliff=1e9) == answer(4, cliff=1e9)


def test_the_longer_a_rehearsal_the_less_it_should_leave_in_doubt() -> None:
    outlook = judged(made_up(107)).outlook
    assert outlook is not None
    left = [outlook.left_in_doubt(share) for share in (0.125, 0.25, 0.5, 1.0)]
    assert left == sorted(left, reverse=True)
    assert left[0] > 2 * left[-1]
    assert outlook.best(0.125) < outlook.best(1.0)  # the whole run bears less than an eighth of it


def test_one_held_out_sample_tells_nothing() -> None:
    """It used to give a rate, with status "ok", where nine samples rightly gave none."""
    found = made_up(860)
    alone = structs.replace(found, folds=found.folds[:, :, :1], start_folds=found.start_folds[:, :1])
    verdict = judge([alone], trained=1000, held_out=1)
    assert (verdict.status, verdict.lr) == ("too_little_data", None)
    assert "1 held-out samples" not in verdict.why
    assert judge([alone], trained=1000, held_out=100).status == "ok"  # one batch of many


def test_folds_that_name_other_rates_leave_a_whole_run_uncertain() -> None:
    """Each half of the held-out data likes a rate at which the other half loses much."""
    found = made_up(860)
    low, high = (made_up(860, best=best).losses[0] for best in (0.15, 1.2))
    halves = np.stack([low, low, high, high], axis=-1)[None]
    torn = structs.replace(found, losses=frozen(halves.mean(axis=2)), folds=frozen(halves))
    assert judged(torn).doubt > 3 * judged(found).doubt
    assert judged(torn).status == "uncertain"


def test_what_a_shorter_rehearsal_has_learned_is_no_luck_in_a_longer_one() -> None:
    """A seed that starts close to its end may gain no more than the luck of the folds; it has learned."""
    shorter, longer = made_up(215), made_up(430, seed=1)
    alike = np.linspace(-0.3, 0.3, 4)
    noisy = structs.replace(longer, start_folds=frozen(longer.folds[:, longer.best] + 0.01 + alike))
    noisy = structs.replace(noisy, curves=frozen(np.minimum(noisy.curves, noisy.losses.min() + 0.01)))
    assert judge([noisy], trained=1000, held_out=1000).lr is None
    assert judge([shorter, noisy], trained=1000, held_out=1000).lr is not None


def test_a_longer_run_from_trained_weights_wants_a_higher_rate() -> None:
    """From drawn ones a lower one; the loss of drawn weights tells the two apart."""
    fresh = made_up(215)
    drawn = structs.replace(fresh, untrained=fresh.start_loss)
    trained = structs.replace(fresh, untrained=fresh.start_loss + 9 * (fresh.start_loss - fresh.mean.min()))
    assert drawn.head_start == 0.0
    assert trained.head_start == pytest.approx(0.9)
    before, after = judged(drawn), judged(trained)
    assert before.lr is not None
    assert after.lr is not None
    assert (before.lr, before.low, before.high) == (judged(fresh).lr, judged(fresh).low, judged(fresh).high)
    assert after.lr > 1.3 * before.lr
    assert after.doubt > before.doubt
    assert "4 times as long mostly wants a rate about 34% lower" in before.why
    assert (
        "4 times as long from weights that are trained already mostly wants a rate about 23% higher"
        in after.why
    )
    whole = structs.replace(trained, horizon=215)
    assert judged(whole).lr == judged(structs.replace(whole, untrained=None)).lr


def test_rates_that_all_fare_alike_in_a_shorter_rehearsal_decide_nothing() -> None:
    """A plateau that the whole run leaves, at rates which the short one did not tell from the others."""
    found = made_up(215, lrs=np.geomspace(0.2, 0.8, 4))
    level = found.losses.mean() + 1e-4 * np.array([[2.0, 1.0, 2.0, 3.0]])
    plateau = structs.replace(
        found, losses=frozen(level), folds=frozen(np.repeat(level[:, :, None], 4, axis=2))
    )
    assert judged(plateau).status == "uncertain"
    assert judged(plateau).doubt == 1.0
    outlook = judged(plateau).outlook
    assert outlook is not None
    assert outlook.left_in_doubt(0.49) == 1.0  # nor would any other that is as short
    assert outlook.left_in_doubt(0.5) < 0.02
    assert "do as well, which says little of the real run" in judged(plateau).why
    for horizon in (430, 215):
        assert judged(structs.replace(plateau, horizon=horizon)).status == "ok"


def test_two_decades_of_rates_that_fare_alike_in_a_shorter_rehearsal_decide_nothing() -> None:
    """On a table as it comes all of these rates had come to what a constant output loses, from far above."""
    lrs = np.geomspace(1e-3, 1e3, 13)
    found = made_up(215, lrs=lrs)
    ends = 1.0 + 16 * np.abs(np.log10(lrs) / 3) ** 8
    start = structs.replace(
        found,
        losses=frozen(ends[None]),
        folds=frozen(np.repeat(ends[None, :, None], 4, axis=2)),
        start_folds=frozen(np.full((1, 4), 43.0)),
        curves=frozen(np.linspace(np.full_like(ends, 43.0), ends, found.curves.shape[2], axis=-1)[None]),
    )
    short, half = judged(start), judged(structs.replace(start, horizon=430))
    assert short.low is not None
    assert short.high is not None
    assert short.high > 100 * short.low
    assert (short.status, short.doubt) == ("uncertain", 1.0)
    assert f"from {short.low:.3g} to {short.high:.3g} do as well" in short.why
    assert half.status == "ok"


@pytest.mark.parametrize("ends", [1, -1])
def test_a_best_rate_at_the_edge_of_many_that_are_as_good_is_an_answer(ends: int) -> None:
    """Adafactor bounds its own rate: all above some lose the same."""
    found = made_up(860, lrs=np.geomspace(0.1, 10.0, 10))
    away = np.arange(10.0)[::-ends]  # steps from the edge
    level = found.losses.min() + np.where(away < 4, 1e-4, 0.2) * away
    flat, slope = (
        structs.replace(found, losses=frozen(end[None]), folds=frozen(np.repeat(end[None, :, None], 4, 2)))
        for end in (level, found.losses.min() + 0.02 * away)
    )
    verdict = judged(flat)
    assert verdict.status == "ok"
    assert verdict.lr is not None
    assert flat.lrs[away < 4].min() <= verdict.lr <= flat.lrs[away < 4].max()
    assert ("rates above" if ends > 0 else "rates below") in " ".join(verdict.warnings)
    assert judged(slope).status == "not_bracketed"


def test_a_grid_goes_on_where_a_further_seed_moves_the_best_rate_to_its_edge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It used to end as "not_bracketed", without an answer."""
    task = digits_task(steps=860, seed=0)

    def fake(
        task: ss.Task, shape: Any, lrs: np.ndarray, *, seeds: list[int], steps: int, **_: Any
    ) -> Rehearsal:
        found = [made_up(steps, seed, 0.06 if seed else 0.42, np.sort(lrs)) for seed in seeds]
        return found[0] if len(found) == 1 else with_more_seeds(*found)

    monkeypatch.setattr(search, "rehearse", fake)
    monkeypatch.setattr(Speed, "of", classmethod(lambda cls, task: cls(0.05, 0.1, stacks=False)))
    advice = ss.find_lr(task, seeds=2, progress=False)
    last = advice.rehearsals[-1]
    assert last.seeds == (0, 1)
    assert last.best not in (None, 0, len(last.lrs) - 1)
    assert advice.lr is not None
