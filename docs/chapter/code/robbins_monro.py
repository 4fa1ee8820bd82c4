from stepsize.schedules import cosine, exp, fixed, inv, step

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
    print(f"{schedule}: {'satisfied' if verdict.satisfied else 'not satisfied'}, {verdict.reason}")
