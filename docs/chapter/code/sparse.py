import torch
from matplotlib.figure import Figure

import stepsize as ss
from stepsize.chapter import quick
from stepsize.chapter.tasks import by_frequency, sparse

methods = {
    "one rate for all": (torch.optim.SGD, None, [0.8, 1.6, 3.2, 6.4]),
    "groups by frequency": (torch.optim.SGD, by_frequency, [0.08, 0.16, 0.32, 0.64]),
    "Adagrad": (torch.optim.Adagrad, None, [0.16, 0.32, 0.64, 1.28]),
}
axes = Figure(figsize=(7, 3.4), layout="constrained").subplots()
for name, (optimizer, groups, lrs) in methods.items():
    task = sparse(quick(), name, optimizer, groups)
    runs = ss.sweep(task, lrs, seeds=2, evaluate=4, progress=False)
    best = runs.best()
    ends = runs.summary()
    label = f"{name}: {best.mean:.3f}"
    axes.semilogx([end.arm.lr / best.arm.lr for end in ends], [end.mean for end in ends], "o-", label=label)
axes.set(xlabel="rate over the method's best rate", ylabel="held-out loss")
axes.legend(frameon=False)
axes.figure.savefig("sparse.svg")
