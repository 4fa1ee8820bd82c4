from stepsize.schedules import cosine, exp, fixed, inv, step

print("| schedule | Σ η = ∞ | Σ η² < ∞ | |")
print("|---|---|---|---|")
for schedule in [
    fixed(0.5),
    step(0.5, gamma=0.9, every=50),
    exp(0.5, gamma=0.9),
    inv(0.5, gamma=0.1, power=0.5),
    inv(0.5, gamma=0.1, power=0.75),
    inv(0.5, gamma=0.1, power=2.0),
    cosine(0.5),
]:
    verdict = schedule.robbins_monro()
    both = "satisfied" if verdict.satisfied else "not satisfied"
    print(
        f"| `{schedule}` | {verdict.sum_diverges} | {verdict.squares_converge} | {both}: {verdict.reason} |"
    )
