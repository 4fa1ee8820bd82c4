import io

import stepsize as ss
from stepsize.chapter import quick
from stepsize.chapter.tasks import textbook

curve = ss.range_test(textbook(quick()), lr_min=1e-4, lr_max=10, steps=200)
figure = curve.plot(width=7, height=3.6)

page = io.StringIO()
figure.savefig(page, format="svg")
print(page.getvalue())
