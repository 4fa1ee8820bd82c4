from matplotlib.figure import Figure

import stepsize as ss
from stepsize.chapter import quick
from stepsize.chapter.tasks import few_digits

task = few_digits(quick(), 1_000).replace(steps=300)
sizes = [4, 16, 64, 128]
runs = ss.sweep(task, [0.05, 0.2], batch_size=sizes, seeds=2, evaluate=4, progress=False)
found = runs.heatmap("accuracy")
axes = Figure(figsize=(7, 3.4), layout="constrained").subplots()
for lr, column in zip(found.lrs, found.values.T, strict=True):
    axes.semilogx(sizes, column, "o-", base=2, label=f"rate {lr:g}")
axes.set(xlabel="batch size", ylabel="test accuracy")
axes.set_xticks(sizes, sizes)
axes.legend(frameon=False)
axes.figure.savefig("fixed_rate.svg")
