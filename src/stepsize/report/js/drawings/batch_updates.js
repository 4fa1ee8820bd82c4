// Updates to each loss over batch sizes, with the fitted hyperbola.

drawings.batch_updates = (data, view) => {
  const x = batchAxis(data.targets.flatMap((target) => target.sizes), view);
  const lows = data.targets.flatMap((target) => target.lows);
  const highs = data.targets.flatMap((target) => target.highs);
  const y = lossAxis(Math.min(...lows), Math.max(...highs), "updates to the loss");
  const shades = ["answer", "low_1", "low_2", "low_3"];
  const shade = (place) => shades[Math.min(data.targets.length - 1 - place, 3)];
  const last = data.targets.at(-1);
  const inside = (size) => size !== null && size > x.domain[0] && size < x.domain[1];
  const key = data.targets.map((target, place) => ({
    swatch: "dot",
    colour: shade(place),
    label: `loss ${number(target.loss)}`,
  }));
  const marks = [];
  for (const [size, dash, swatch, label] of [
    [last.critical, "3 2", "dash", "critical batch"],
    [data.predicted, "1 2", "dotted", "noise scale"],
  ]) {
    if (!inside(size)) continue;
    marks.push(upright(size, "danger", dash));
    key.push({ swatch, colour: "danger", label });
  }
  const points = [];
  data.targets.forEach((target, place) => {
    const rows = target.sizes.map((size, i) => ({ x: size, y: target.updates[i], low: target.lows[i], high: target.highs[i] }));
    marks.push(bars(rows, shade(place)), line(rowsOf(target.along, target.fitted), shade(place), 1.2), dots(rows, shade(place), { r: 3.5 }));
    rows.forEach((row, i) =>
      points.push({
        x: row.x,
        y: row.y,
        text: `batch ${count(row.x)}, to a loss of ${number(target.loss)}\n${count(row.y)} updates (${count(row.low)} to ${count(row.high)})\nbest rate ${number(target.lrs[i])}`,
      }),
    );
  });
  return { x, y, marks, points, key };
};
