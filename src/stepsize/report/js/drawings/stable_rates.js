// The largest stable rate along a run, and the rate of the run beside it.

drawings.stable_rates = (data, view) => {
  const x = placesAxis(data.updates.map(count), view, "updates done");
  const [low, high] = finiteRange([data.ceilings, data.lr]);
  const y = lossAxis(low / 2, high * 2, "learning rate", (rate) => number(rate));
  const rows = data.ceilings.map((ceiling, place) => ({ x: place, y: ceiling }));
  const key = [{ swatch: "dot", colour: "answer", label: "stable up to" }];
  if (data.lr !== null) key.push({ swatch: "dash", colour: "danger", label: "rate of the run" });
  return {
    x,
    y,
    marks: [
      ...(data.lr === null ? [] : [level(data.lr, "danger", "3 2")]),
      line(rows, "answer", 1),
      dots(rows, "answer", { r: 3.5 }),
    ],
    points: rows.map((row, place) => ({
      ...row,
      text: `after ${plural(data.updates[place], "update")}\nstable up to ${number(row.y)}\nlargest curvature ${number(data.curvatures[place])}`,
    })),
    along: "x",
    key,
  };
};
