from matplotlib.figure import Figure

import stepsize as ss
from stepsize.chapter import quick
from stepsize.chapter.tasks import first_images

task = first_images(quick(), 500).replace(epochs=5)
axes = Figure(figsize=(7, 3.4), layout="constrained").subplots()
for batch_size, lr in [(1, 0.05), (20, 0.3), ("full", 0.5)]:
    runs = ss.sweep(task, lr, batch_size=batch_size, seeds=1, evaluate=20, progress=False)
    (curve,) = runs.curves()
    axes.plot(5 * curve.updates / curve.updates[-1], curve.mean, label=f"m = {batch_size}, rate {lr}")
axes.set(xlabel="epoch", ylabel="validation loss")
axes.legend(frameon=False)
axes.figure.savefig("updates.svg")
