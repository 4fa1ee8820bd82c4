"""Four rates at two batch sizes, three seeds each: which is best, and can it be told from the next one?

Run it twice, or stop it with Ctrl-C and run it again: what is in the ledger is not trained again.
"""

import stepsize as ss

task = ss.datasets.mnist_task(epochs=0.5)
runs = ss.sweep(task, lr=[0.1, 0.3, 0.5, 0.8], batch_size=[32, 128], seeds=3, store="sweep.db", evaluate=20)
print(runs)

for batch_size in (32, 128):
    best = runs.best(batch_size=batch_size)
    if best is not None:
        print(f"\nbatch {batch_size}: the best rate is {best.arm.lr:g}")
        for lr in (0.1, 0.3, 0.5, 0.8):
            if lr != best.arm.lr:
                print(f"  against {lr:g}: {runs.compare(best.arm.lr, lr, batch_size=batch_size)}")
    print(f"  over the run: {runs.crossings(0.8, 0.5, batch_size=batch_size)}")

runs.export("sweep.csv")
runs.report("sweep.html")
