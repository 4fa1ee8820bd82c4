import stepsize as ss
from stepsize.chapter import quick
from stepsize.chapter.tasks import textbook

runs = ss.sweep(textbook(quick()), [0.1, 0.3, 0.5, 0.7], batch_size=32, seeds=3, progress=False)
runs.plot(figure="sweep_curves", width=7, height=3.6).savefig("rates.svg")
for end in runs.summary("accuracy"):
    print(f"rate {end.arm.lr:g}: accuracy {end.mean:.3f}")
print("0.5 against 0.1:", runs.compare(0.5, 0.1, by="accuracy"))
