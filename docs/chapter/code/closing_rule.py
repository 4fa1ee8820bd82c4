from matplotlib.figure import Figure

import stepsize as ss
from stepsize.chapter import quick
from stepsize.chapter.tasks import textbook

task = textbook(quick()).replace(epochs=1)
best = {}
for size, lrs in {8: [0.05, 0.1, 0.2, 0.4], 32: [0.2, 0.4, 0.8, 1.6], 128: [0.4, 0.8, 1.6, 3.2]}.items():
    best[size] = ss.sweep(task, lrs, batch_size=size, seeds=2, evaluate=4, progress=False).best().arm.lr
axes = Figure(figsize=(7, 3.4), layout="constrained").subplots()
axes.loglog(list(best), list(best.values()), "o", base=2, label="best of the rates tried")
axes.loglog(list(best), [best[8] * size / 8 for size in best], "--", base=2, label="∝ B")
axes.loglog(list(best), [best[8] * (size / 8) ** 0.5 for size in best], ":", base=2, label="∝ √B")
axes.set(xlabel="batch size", ylabel="learning rate")
axes.set_xticks(list(best), list(best))
axes.legend(frameon=False)
axes.figure.savefig("closing_rule.svg")
