import stepsize as ss
from stepsize.chapter import quick
from stepsize.chapter.tasks import textbook

curve = ss.range_test(textbook(quick()), lr_min=1e-4, lr_max=10, steps=200)
curve.plot(width=7, height=3.6).savefig("range_test.svg")
print(curve)
