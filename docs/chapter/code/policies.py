from stepsize.schedules.plot import TEXTBOOK, plot

axes = plot(TEXTBOOK, 10_000)
axes.figure.savefig("policies.svg")
