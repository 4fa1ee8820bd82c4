from matplotlib.figure import Figure

from stepsize.schedules import Run, Schedule

decaying = Schedule.parse("0.8 * step(gamma=0.5, every='20%')")
run = Run(steps=4300, samples=55_000, batch_size=128)
plan = decaying.as_batch_growth(run, max_batch=2048)
print(plan)

figure = Figure(figsize=(7, 3.4), layout="constrained")
rate, batch = figure.subplots(1, 2)
rate.step(range(run.steps), decaying.values(run), where="post")
rate.set(xlabel="update", ylabel="rate, batch 128")
batch.step(plan.starts, plan.batches, where="post")
batch.set(xlabel="samples", ylabel="batch, rate 0.8")
figure.savefig("growth.svg")
