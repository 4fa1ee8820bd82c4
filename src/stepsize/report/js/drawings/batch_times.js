// Seconds of training to a loss at each batch size.

drawings.batch_times = (data, view) => {
  const [most, least] = [Math.max(...data.seconds) * 4, Math.min(...data.seconds) / 4];
  const rows = data.sizes.map((size, place) => ({
    x: size,
    y: data.seconds[place],
    low: Math.max(data.lows[place], least),
    high: Math.min(data.highs[place], most),
  }));
  const x = batchAxis(data.sizes, view);
  const y = lossAxis(Math.min(...rows.map((row) => row.low)), Math.max(...rows.map((row) => row.high)), "seconds of training to the loss");
  const names = Object.entries(data.chosen);
  const soonest = rows.filter((row) => row.x === data.chosen.time);
  const key = [
    { swatch: "dot", colour: "answer", label: "time" },
    { swatch: "bar", colour: "answer", label: "95% interval" },
  ];
  if (soonest.length) key.push({ swatch: "ring", colour: "danger", label: "soonest" });
  return {
    x,
    y,
    marks: [
      bars(rows, "answer"),
      line(rows, "answer", 1),
      dots(rows, "answer", { r: 3.5 }),
      Plot.dot(soonest, { x: "x", y: "y", r: 8, stroke: colour("danger"), strokeWidth: 1.8 }),
    ],
    points: rows.map((row, place) => {
      const best = names.filter(([, size]) => size === row.x).map(([name]) => name);
      const chosen = best.length ? `\nchosen for ${best.join(", ")}` : "";
      const text = `batch ${count(row.x)}\n${number(row.y)} s (${span(data.lows[place], data.highs[place])})${chosen}`;
      return { x: row.x, y: row.y, text };
    }),
    along: "x",
    key,
  };
};
