from matplotlib.figure import Figure

from stepsize.schedules import step

rates = step(0.1, gamma=0.9, every=50).resolve()
for update in range(0, 301, 50):
    print(f"{update:5}  {rates(update):.6f}")

axes = Figure(figsize=(7, 3.4), layout="constrained").subplots()
axes.plot([rates(update) for update in range(350)])
axes.set(xlabel="update", ylabel="learning rate", ylim=(0, 0.11))
axes.figure.savefig("decay.svg")
