import stepsize as ss
from stepsize.chapter import quick
from stepsize.chapter.tasks import textbook

stages = [ss.Stage(0.01, 0.09, 0.01), ss.Stage(0.1, 0.9, 0.1), ss.Stage(1.0, 3.0, 0.25)]
curve = ss.range_test(textbook(quick()), stages=stages)
curve.plot(width=7, height=3.6).savefig("rounds.svg")
print(curve)
