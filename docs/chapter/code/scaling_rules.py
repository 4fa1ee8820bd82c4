import torch
from matplotlib.figure import Figure

from stepsize.chapter import quick
from stepsize.chapter.tasks import textbook

task = textbook(quick()).replace(batch_size=16)
model, batches = task.make_model(0), task.batches(0)
gradients = []
for _ in range(512):
    parts = torch.autograd.grad(task.loss(model, next(batches)), list(model.parameters()))
    gradients.append(torch.cat([part.ravel() for part in parts]))

sizes, variances = [], []
for n in [1, 2, 4, 8, 16]:
    means = torch.stack(gradients).reshape(-1, n, gradients[0].numel()).mean(dim=1)
    sizes.append(16 * n)
    variances.append(float(means.var(dim=0).sum()))
    print(f"batch {16 * n}: variance {variances[-1]:.4f}, 1/{variances[0] / variances[-1]:.2f} of that at 16")

axes = Figure(figsize=(7, 3.4), layout="constrained").subplots()
axes.loglog(sizes, variances, "o-", label="measured")
axes.loglog(sizes, [variances[0] * 16 / size for size in sizes], "--", label="∝ 1/B")
axes.set_xscale("log", base=2)
axes.set_xticks(sizes, sizes)
axes.set(xlabel="batch size", ylabel="variance of the mean gradient")
axes.legend(frameon=False)
axes.figure.savefig("scaling_rules.svg")
