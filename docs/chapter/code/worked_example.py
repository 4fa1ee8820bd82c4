from fractions import Fraction

from matplotlib.figure import Figure

slope = Fraction(1, 2)
for points in [(-2, 0, 2), (-2, -1, 0, 1, 2)]:
    residuals = [slope * x for x in points]
    loss = sum(r**2 for r in residuals) / (2 * len(points))
    gradient = sum(r * x for r, x in zip(residuals, points, strict=True)) / len(points)
    print(
        f"{len(points)} points: loss {loss}, slope / loss {slope / loss}, slope / gradient {slope / gradient}"
    )

axes = Figure(figsize=(7, 3.4), layout="constrained").subplots()
axes.plot([-2, 2], [-1, 1], label="now: slope 0.5")
axes.plot([-2, 2], [0, 0], label="wanted: slope 0")
axes.plot([-2, 0, 2], [0, 0, 0], "o", label="3 points")
axes.plot([-1, 1], [0, 0], "s", label="2 more")
axes.set(xlabel="x", ylabel="y")
axes.legend(frameon=False)
axes.figure.savefig("worked_example.svg")
