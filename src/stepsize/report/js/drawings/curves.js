// Runs while they went on: held-out loss over updates, a line a rate.

drawings.curves = (data, view) => {
  const chosen = data.lr
    ? d3.minIndex(data.lrs, (lr) => Math.abs(Math.log(lr / data.lr)))
    : null;
  const x = countAxis(data.steps, view);
  const label = `${lossName(data.loss_kind)}, mean of ${plural(data.seeds, "seed")}`;
  const y = lossAxis(...finiteRange(data.losses, data.start_loss), label);
  const shade = (place) => {
    if (chosen === null) return ["low_3", "low_2", "low_1", "answer"][Math.floor((place * 4) / data.lrs.length)];
    if (place === chosen) return "ink";
    return place < chosen ? `low_${Math.min(chosen - place, 3)}` : `high_${Math.min(place - chosen, 3)}`;
  };
  const lines = data.losses.map((row) => rowsOf(data.updates, row));
  return {
    x,
    y,
    marks: lines.map((rows, place) => line(rows, shade(place), place === chosen ? 2.4 : 1.5)),
    points: lines.flatMap((rows, place) =>
      known(rows)
        .filter((row) => row.y <= y.domain[1])
        .map((row) => ({
          ...row,
          text: `rate ${number(data.lrs[place])}, update ${count(row.x)}\nloss ${number(row.y, 4)}`,
        })),
    ),
    key: data.lrs.map((lr, place) => ({ swatch: "line", colour: shade(place), label: number(lr) })),
  };
};
