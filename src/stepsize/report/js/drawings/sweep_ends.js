// A sweep: where each rate ended, a line for each batch size and schedule.

drawings.sweep_ends = (data, view) => {
  const shown = data.labels.slice(0, SEVERAL.length);
  const x = rateAxis(data.lrs, view);
  const drawn = (name) => data[name].slice(0, SEVERAL.length);
  const label = `${lossName(data.loss_kind)}, mean of ${plural(data.seeds, "seed")}`;
  const y = lossAxis(...finiteRange([drawn("mean"), drawn("low"), drawn("high")]), label);
  const lines = shown.map((_, place) =>
    data.lrs.map((lr, i) => ({ x: lr, y: data.mean[place][i], low: data.low[place][i], high: data.high[place][i] })),
  );
  return {
    x,
    y,
    marks: [
      ...lines.flatMap((rows, place) => [
        bars(rows.filter((row) => row.low !== null && row.high !== null), SEVERAL[place]),
        line(rows, SEVERAL[place], 1.7),
        dots(known(rows), SEVERAL[place], { r: 3.5 }),
      ]),
      gone(data.lrs.filter((_, i) => drawn("mean").every((row) => row[i] === null))),
    ],
    points: lines.flatMap((rows, place) =>
      known(rows).map((row) => ({
        x: row.x,
        y: row.y,
        text: `${shown[place]}, rate ${number(row.x)}\nloss ${number(row.y, 4)} (${span(row.low, row.high, 4)})`,
      })),
    ),
    key: shown.map((name, place) => ({ swatch: "line", colour: SEVERAL[place], label: name })),
  };
};
