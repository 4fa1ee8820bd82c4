from matplotlib.figure import Figure

import stepsize as ss
from stepsize.chapter import quick
from stepsize.chapter.tasks import xor

task = xor(quick())
run = ss.sweep(task, 0.5, seeds=1, keep="all", evaluate=4, progress=False).runs[0]
plateau = ss.diagnose(run.train_loss).plateaus[0]
middle = (plateau.start + plateau.end) // 2
point = ss.sharpness(task, 0.5, checkpoints=[middle], progress=False).points[0]

axes = Figure(figsize=(7, 3.4), layout="constrained").subplots()
axes.plot(run.train_loss)
axes.axvspan(plateau.start, plateau.end, alpha=0.15)
axes.annotate(
    f"λ from {point.smallest:.2g} to {point.largest:.2g}: a {point.kind}",
    (middle, plateau.level),
    (middle, 0.5),
    ha="center",
    arrowprops={"arrowstyle": "->"},
)
axes.set(xlabel="update", ylabel="training loss")
axes.figure.savefig("saddle.svg")
