from stepsize.chapter.sections.worked_example import FIVE, THREE, book_rate, descent_rate, loss

print("| points | loss | η = 0.5 / loss | η of gradient descent |")
print("|---|---|---|---|")
for points in (THREE, FIVE):
    print(f"| {len(points)} | {loss(points)} | {book_rate(points)} | {descent_rate(points)} |")
