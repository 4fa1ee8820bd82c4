// Restarted trials: the loss of each seed at each rate, and their mean.

drawings.trials = (data, view) => {
  const x = rateAxis(data.lrs, view);
  const y = lossAxis(...finiteRange(data.losses), "held-out loss at the end");
  const key = [];
  const answer = answerMarks(data.lr, null, null, x, key);
  const seeds = data.losses.flatMap((row) => known(rowsOf(data.lrs, row)));
  const means = rowsOf(data.lrs, data.mean);
  key.push({ swatch: "line", colour: "ink", label: "mean" }, { swatch: "dot", colour: "muted", label: "each seed" });
  return {
    x,
    y,
    marks: [
      ...answer,
      dots(seeds, "muted", { fillOpacity: 0.7 }),
      line(means, "ink", 2),
      dots(known(means), "ink", { r: 3.5 }),
      gone(data.lrs.filter((_, place) => data.mean[place] === null)),
    ],
    points: means.map((row) => ({
      x: row.x,
      y: row.y ?? y.domain[1],
      text: `rate ${number(row.x)}\n${row.y === null ? "diverged" : `mean loss ${number(row.y, 4)}`}`,
    })),
    key,
  };
};
