import io

import stepsize as ss
from stepsize.chapter import quick
from stepsize.chapter.tasks import textbook

runs = ss.sweep(textbook(quick()), [0.1, 0.3, 0.5, 0.7], batch_size=32, seeds=3, progress=False)
comparison = runs.compare(0.5, 0.1, by="accuracy")
figure = runs.plot(figure="sweep_curves", width=7, height=3.6)

page = io.StringIO()
figure.savefig(page, format="svg")
print(page.getvalue())
print(f"<p>{comparison}</p>")
