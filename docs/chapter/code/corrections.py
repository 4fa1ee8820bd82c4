import stepsize as ss
from stepsize.chapter import quick
from stepsize.chapter.tasks import first_images
from stepsize.schedules import inv

above_one = inv(5.0, gamma=1.0, power=1.0)
print(f"{above_one}: {above_one.robbins_monro()}")

task = first_images(quick(), 2_000).replace(epochs=2)
runs = ss.sweep(task, [0.5, 1.5], batch_size=32, seeds=3, progress=False)
for end in runs.summary("accuracy"):
    print(f"rate {end.arm.lr:g}: accuracy {end.mean:.3f} [{end.low:.3f}, {end.high:.3f}]")
