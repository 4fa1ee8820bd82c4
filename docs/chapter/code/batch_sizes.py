from matplotlib.figure import Figure

import stepsize as ss
from stepsize.chapter import quick
from stepsize.chapter.tasks import textbook

runs = ss.sweep(textbook(quick()), 0.5, batch_size=[32, 64, 128, 256], seeds=2, progress=False)
figure = Figure(figsize=(7, 3.4), layout="constrained")
over_updates, over_epochs = figure.subplots(1, 2, sharey=True)
for curve in runs.curves("accuracy"):
    label = f"batch {curve.arm.batch_size}"
    over_updates.plot(curve.updates, curve.mean, label=label)
    over_epochs.plot(2 * curve.updates / curve.updates[-1], curve.mean, label=label)
over_updates.set(xlabel="update", ylabel="validation accuracy")
over_epochs.set(xlabel="epoch")
over_epochs.legend(frameon=False)
figure.savefig("batch_sizes.svg")
