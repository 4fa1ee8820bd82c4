"""The noise scale's estimators: without bias, with intervals that cover, and names for what is missing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stepsize.estimate.noise_scale import fieller, noise_estimate, two_batch_estimate

DIMENSIONS = 200
SPECTRUM = np.arange(1, DIMENSIONS + 1.0) ** -1.0


def squares_and_products(gradients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    products: np.ndarray = gradients @ gradients.mean(axis=0)
    squares: np.ndarray = (gradients**2).sum(axis=1)
    return squares, products


def drawn(generator: np.random.Generator, mean: np.ndarray, count: int, size: int = 1) -> np.ndarray:
    """Gradients of `count` micro-batches of Gaussian samples with a power-law spectrum."""
    noise: np.ndarray = generator.normal(size=(count, DIMENSIONS)) * np.sqrt(SPECTRUM / size)
    noise += mean
    return noise


def true_mean(generator: np.random.Generator, scale: float) -> np.ndarray:
    """A gradient with this noise scale."""
    mean = generator.normal(size=DIMENSIONS) * np.sqrt(SPECTRUM)
    scaled: np.ndarray = mean * math.sqrt(SPECTRUM.sum() / scale / (mean @ mean))
    return scaled


@pytest.mark.parametrize("size", [1, 8])
def test_both_parts_are_without_bias(size: int) -> None:
    generator = np.random.default_rng(1)
    mean = true_mean(generator, 50.0)
    found = [
        noise_estimate(*squares_and_products(drawn(generator, mean, 16, size)), size=size)
        for _ in range(3000)
    ]
    traces, signals = np.array([(e.trace, e.signal) for e in found]).T
    for values, true in ((traces, SPECTRUM.sum()), (signals, mean @ mean)):
        assert abs(values.mean() - true) < 4 * values.std() / math.sqrt(len(values))


@pytest.mark.parametrize(("count", "scale"), [(32, 5.0), (32, 70.0), (64, 70.0), (64, 1000.0), (256, 70.0)])
def test_intervals_cover(count: int, scale: float) -> None:
    generator = np.random.default_rng(count)
    mean = true_mean(generator, scale)
    held = 0
    for _ in range(600):
        found = noise_estimate(*squares_and_products(drawn(generator, mean, count)), size=1)
        held += found.low <= scale <= found.high
    assert held / 600 >= 0.93


def test_a_hidden_gradient_gives_a_lower_bound() -> None:
    generator = np.random.default_rng(2)
    found = noise_estimate(*squares_and_products(drawn(generator, true_mean(generator, 1e4), 64)), size=1)
    assert found.status == "lower_bound"
    assert 1 < found.low < 1e4
    assert found.high == math.inf


def test_all_samples_of_a_data_set_leave_nothing_open() -> None:
    gradients = drawn(np.random.default_rng(3), true_mean(np.random.default_rng(3), 20.0), 40)
    found = noise_estimate(*squares_and_products(gradients), size=1, population=40)
    mean = gradients.mean(axis=0)
    exact = gradients.var(axis=0, ddof=1).sum() / (mean @ mean)
    assert found.low == pytest.approx(exact)
    assert found.high == pytest.approx(exact)
    assert found.examples_needed == 40


@pytest.mark.parametrize("size", [1, 5])
def test_a_part_of_a_data_set_estimates_the_whole_without_bias(size: int) -> None:
    generator = np.random.default_rng(4)
    data = drawn(generator, true_mean(generator, 20.0), 120)
    mean = data.mean(axis=0)
    parts = []
    for _ in range(2000):
        batches = data[generator.permutation(120)[:60]].reshape(-1, size, DIMENSIONS).mean(axis=1)
        found = noise_estimate(*squares_and_products(batches), size=size, population=120)
        parts.append((found.trace, found.signal))
    for values, true in zip(np.array(parts).T, (data.var(axis=0, ddof=1).sum(), mean @ mean), strict=True):
        assert abs(values.mean() - true) < 4 * values.std() / math.sqrt(len(values))


def test_examples_needed_reach_the_precision() -> None:
    generator = np.random.default_rng(5)
    mean = true_mean(generator, 100.0)
    needed = noise_estimate(*squares_and_products(drawn(generator, mean, 400)), size=1).examples_needed
    count = int(needed)
    scales = [
        noise_estimate(*squares_and_products(drawn(generator, mean, count)), size=1).scale for _ in range(200)
    ]
    assert 0.05 < np.std(scales) / np.mean(scales) < 0.15


def test_the_two_batch_estimate_inverts_its_expectation() -> None:
    trace, signal = 7.0, 0.3
    found = two_batch_estimate(signal + trace / 8, signal + trace / 64, 8, 64)
    assert found == pytest.approx((trace, signal))
    with pytest.raises(ValueError, match="small_size < big_size"):
        two_batch_estimate(1.0, 1.0, 8, 8)


def test_fieller_of_exact_numbers_is_their_ratio() -> None:
    assert fieller(6.0, 2.0, np.zeros((2, 2)), 2.0) == pytest.approx((3.0, 3.0))


@pytest.mark.parametrize(
    ("gradients", "status"),
    [
        (np.ones((8, 3)), "no_noise"),
        (np.zeros((8, 3)), "no_gradient"),
        (np.ones((1, 3)), "too_little_data"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "too_little_data"),
    ],
)
def test_what_cannot_be_estimated_has_a_name(gradients: np.ndarray, status: str) -> None:
    found = noise_estimate(*squares_and_products(gradients), size=1)
    assert found.status == status
    assert found.scale == 0.0 if status == "no_noise" else math.isnan(found.scale)


@pytest.mark.parametrize(
    ("squares", "products", "options", "message"),
    [
        ([1.0], [1.0, 2.0], {}, "must both be"),
        ([], [], {}, "must both be"),
        ([1.0, math.nan], [1.0, 1.0], {}, "must be finite"),
        ([1.0, 1.0], [1.0, 1.0], {"size": 0}, "size must be at least 1"),
        ([1.0, 1.0], [1.0, 1.0], {"size": 3, "population": 5}, "must not exceed the data"),
    ],
)
def test_wrong_input_is_named(
    squares: list[float], products: list[float], options: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        noise_estimate(np.array(squares), np.array(products), **({"size": 1} | options))
