// Schedules at equal budget: the held-out loss over the peak rate, a line for each.

const FAR_UP = 4; // times the spread of the schedules' best losses, as in pictures/schedules.py

drawings.schedules = (data, view) => {
  const shades = ["ink", "danger", "muted", "low_2", "high_2"];
  const kinds = ["dot", "square", "triangle", "diamond", "star", "wye"];
  const ends = data.lines.map((one) => one.loss).filter((loss) => loss !== null);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const x = rateAxis(data.lines.map((one) => one.lrs), view, "peak learning rate");
  const cap = high + FAR_UP * (high - low) + 0.1 * Math.abs(low);
  const y = lossAxis(...finiteRange(data.lines.map((one) => one.losses), cap), "held-out loss");
  const key = [];
  const marks = [];
  const points = [];
  let others = 0;
  data.lines.forEach((one, place) => {
    const best = one.schedule === data.best;
    const rows = known(rowsOf(one.lrs, one.losses));
    if (!rows.length) return;
    const shade = best ? "answer" : shades[others++ % shades.length];
    const kind = kinds[place % kinds.length];
    key.push({ swatch: kind, colour: shade, label: short(one.schedule) });
    marks.push(
      line(rows, shade, best ? 2 : 1.2),
      dots(rows, shade, { symbol: kind === "dot" ? "circle" : kind, r: 3.8 }),
    );
    points.push(
      ...rows
        .filter((row) => row.y <= y.domain[1])
        .map((row) => ({ ...row, text: `${short(one.schedule)}\npeak ${number(row.x)}: loss ${number(row.y, 4)}` })),
    );
  });
  return { x, y, marks, points, key };
};
