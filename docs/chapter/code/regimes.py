from matplotlib.figure import Figure

import stepsize as ss
from stepsize.chapter import quick
from stepsize.chapter.tasks import first_images

task = first_images(quick(), 200).replace(batch_size="full", steps=80)
runs = ss.sweep(task, [0.01, 0.5, 3.0, 10.0], seeds=1, keep="all", evaluate=4, progress=False)
axes = Figure(figsize=(7, 3.4), layout="constrained").subplots()
for run in runs.runs:
    verdict = ss.diagnose(run.train_loss).verdict.replace("_", " ")
    axes.plot(run.train_loss, label=f"{run.cell.lr:g}: {verdict}")
axes.set(xlabel="update", ylabel="training loss", ylim=(0, 8))
axes.legend(frameon=False)
axes.figure.savefig("regimes.svg")
