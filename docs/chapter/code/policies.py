import io

from stepsize.schedules.plot import TEXTBOOK, plot

axes = plot(TEXTBOOK, 10_000)

page = io.StringIO()
axes.figure.savefig(page, format="svg")
print(page.getvalue())
