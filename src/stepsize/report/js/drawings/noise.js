// The noise scale along a run, its interval at each point, and the batch size in use.

drawings.noise = (data, view) => {
  const x = placesAxis(data.updates.map(count), view, "updates done");
  const top = 4 * Math.max(...data.scales, data.batch);
  const floor = Math.min(...data.scales, data.batch) / 4;
  const rows = data.scales.map((scale, place) => ({
    x: place,
    y: scale,
    low: Math.max(data.lows[place], floor),
    high: data.highs[place] ?? top,
  }));
  const open = rows.filter((_, place) => data.highs[place] === null);
  const low = Math.max(Math.min(...data.lows, data.batch), floor);
  const ends = data.highs.filter((high) => high !== null);
  const y = lossAxis(low, Math.max(...ends, ...data.scales, data.batch, open.length ? top : 0), data.unit);
  const key = [
    { swatch: "dot", colour: "answer", label: "noise scale" },
    { swatch: "bar", colour: "answer", label: "95% interval" },
    { swatch: "dash", colour: "danger", label: "batch size used" },
  ];
  if (open.length) key.push({ swatch: "triangle", colour: "answer", label: "no upper end" });
  return {
    x,
    y,
    marks: [
      level(data.batch, "danger", "3 2"),
      bars(rows, "answer"),
      line(rows, "answer", 1),
      dots(rows, "answer", { r: 3.5 }),
      Plot.dot(open, { x: "x", y: top, symbol: "triangle", fill: colour("answer") }),
    ],
    points: rows.map((row, place) => ({
      x: row.x,
      y: row.y,
      text: `after ${plural(data.updates[place], "update")}\n${number(row.y)} ${data.unit}\n${span(data.lows[place], data.highs[place])}`,
    })),
    along: "x",
    key,
  };
};
