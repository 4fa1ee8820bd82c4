"""A schedule from words to training: write it, check it, draw it, train with it, stop, and go on."""

import torch

from stepsize.schedules import Run, Schedule, audit

run = Run(samples=6_000, batch_size=64, epochs=5)
schedule = Schedule.parse("0.1 * (warmup('5%') | hold() | decay('20%', shape='1-sqrt'))")
print(f"{schedule}\non {run}: {run.steps} updates\n")
print(schedule.check(run), "\n")


def training():
    torch.manual_seed(0)
    model = torch.nn.Linear(10, 1)
    return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


data = torch.randn(6_000, 11, generator=torch.Generator().manual_seed(1))
loader = data.split(64)
applied = {}

model, optimizer = training()
checkpoint = None
for step, batch in schedule.drive(optimizer, loader, run=run):
    if step == 200:  # the machine goes down here
        checkpoint = (step, model.state_dict(), optimizer.state_dict())
        break
    applied[step] = optimizer.param_groups[0]["lr"]
    optimizer.zero_grad()
    (model(batch[:, :10]) - batch[:, 10:]).square().mean().backward()
    optimizer.step()

step, weights, state = checkpoint
model, optimizer = training()
model.load_state_dict(weights)
optimizer.load_state_dict(state)
for update, batch in schedule.drive(optimizer, loader, run=run, start=step):
    applied[update] = optimizer.param_groups[0]["lr"]
    optimizer.zero_grad()
    (model(batch[:, :10]) - batch[:, 10:]).square().mean().backward()
    optimizer.step()

print("after a stop at update 200:", audit(applied, schedule, run), "\n")
print("for optax:", Schedule.parse("cosine(0.1)").code("optax", run))
growing = Schedule.parse("step(0.1, gamma=0.5, every='25%')").as_batch_growth(run, max_batch=512)
print("grown instead of decayed:", growing)
schedule.plot(run, x="epochs").get_figure().savefig("schedule.png", dpi=160)
