"""Both ends of a symmetric operator's spectrum from its products alone, with bounds of the error.

Lanczos' method with every vector made orthogonal to all before it. One run finds the largest and the smallest
eigenvalue together; the norm of the residual |A v − θ v| bounds how far the nearest eigenvalue is from θ
(Parlett 1998, *The Symmetric Eigenvalue Problem*, theorem 4.5.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh_tridiagonal

CHECK_EVERY = 4
"""Products between two looks at the spectrum of the tridiagonal matrix."""


@dataclass(frozen=True)
class Ends:
    """Smallest and largest eigenvalue, each with the norm of its residual; `vector` belongs to the largest.

    `products` were taken. `converged` tells whether both residuals are within the tolerance.
    """

    smallest: float
    smallest_residual: float
    largest: float
    largest_residual: float
    vector: np.ndarray
    products: int
    converged: bool


def spectrum_ends(
    product: Callable[[np.ndarray], np.ndarray],
    size: int,
    *,
    generator: np.random.Generator,
    tolerance: float = 1e-3,
    most: int = 200,
    rounding: float = 0.0,
) -> Ends:
    """The ends of the spectrum of a symmetric operator.

    Args:
        product: x (size,) → A x (size,).
        size: dimension.
        generator: of the starting vector.
        tolerance: residuals wanted, as a share of the largest eigenvalue's size.
        most: products at most.
        rounding: relative error of a product, below which no residual is reported.

    Raises:
        ValueError: a product is not finite, or `size` is below 1.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, but is {size}")
    basis = np.zeros((min(most, size), size))
    diagonal: list[float] = []
    beside: list[float] = []
    current = generator.normal(size=size)
    current /= np.linalg.norm(current)
    found: Ends | None = None
    for step in range(len(basis)):
        basis[step] = current
        image = np.asarray(product(current), dtype=np.float64)
        if not np.isfinite(image).all():
            raise ValueError("a product with the matrix is not finite: the loss overflows at these weights")
        diagonal.append(float(current @ image))
        # Twice: once leaves what rounding adds (Kahan's "twice is enough").
        for _ in range(2):
            image -= basis[: step + 1].T @ (basis[: step + 1] @ image)
        length = float(np.linalg.norm(image))
        scale = max(map(abs, diagonal))
        done = length <= 1e-12 * max(scale, 1e-300) or step + 1 == len(basis)
        if done or step % CHECK_EVERY == CHECK_EVERY - 1:
            found = _ends(diagonal, beside, length, basis[: step + 1], tolerance, rounding)
            if done or found.converged:
                return found
        beside.append(length)
        current = image / length
    assert found is not None
    return found


def _ends(
    diagonal: list[float],
    beside: list[float],
    length: float,
    basis: np.ndarray,
    tolerance: float,
    rounding: float,
) -> Ends:
    values, vectors = eigh_tridiagonal(np.array(diagonal), np.array(beside))
    size = max(abs(values[0]), abs(values[-1]))
    residuals = np.maximum(length * np.abs(vectors[-1]), rounding * size)
    return Ends(
        smallest=float(values[0]),
        smallest_residual=float(residuals[0]),
        largest=float(values[-1]),
        largest_residual=float(residuals[-1]),
        vector=basis.T @ vectors[:, -1],
        products=len(diagonal),
        converged=bool(max(residuals[0], residuals[-1]) <= tolerance * size),
    )
