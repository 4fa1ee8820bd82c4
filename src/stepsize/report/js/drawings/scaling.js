// Best rates over batch sizes: measured, as the law goes on, and as the two simple rules would have it.

drawings.scaling = (data, view) => {
  const sizes = data.law_sizes.length ? data.law_sizes : data.sizes;
  const x = batchAxis(sizes, view);
  const y = lossAxis(
    Math.min(...data.lows, ...data.law_lows) / 1.5,
    Math.max(...data.highs, ...data.law_highs) * 1.5,
    "best learning rate",
    (rate) => number(rate),
  );
  const key = [{ swatch: "dot", colour: "ink", label: "measured" }];
  const marks = [];
  if (data.law_sizes.length) {
    const law = sizes.map((size, i) => ({ x: size, y: data.law_lrs[i], low: data.law_lows[i], high: data.law_highs[i] }));
    const start = data.law_lrs[sizes.indexOf(data.from_batch)];
    marks.push(
      Plot.areaY(law, { x: "x", y1: "low", y2: "high", fill: colour("answer"), fillOpacity: 0.15, clip: true }),
      line(law, "answer", 1.5),
    );
    key.push({ swatch: "line", colour: "answer", label: "law and 95%" });
    for (const [power, dash, swatch, label] of [
      [1, "3 2", "dash", "in proportion"],
      [0.5, "1 2", "dotted", "square root"],
    ]) {
      const ys = sizes.map((size) => start * (size / data.from_batch) ** power);
      marks.push(line(rowsOf(sizes, ys), "danger", 1, { strokeDasharray: dash }));
      key.push({ swatch, colour: "danger", label });
    }
  }
  const measured = data.sizes.map((size, i) => ({ x: size, y: data.lrs[i], low: data.lows[i], high: data.highs[i] }));
  marks.push(bars(measured, "ink"), dots(measured, "ink", { r: 3.8 }));
  const text = (row, how) => `batch ${count(row.x)}, ${how}\nrate ${number(row.y)} (${span(row.low, row.high)})`;
  return {
    x,
    y,
    marks,
    points: [
      ...measured.map((row) => ({ x: row.x, y: row.y, text: text(row, "measured") })),
      ...data.law_sizes
        .map((size, i) => ({ x: size, y: data.law_lrs[i], low: data.law_lows[i], high: data.law_highs[i], regime: data.regimes[i] }))
        .filter((row) => !data.sizes.includes(row.x))
        .map((row) => ({ x: row.x, y: row.y, text: `${text(row, "by the law")}\nregime: ${row.regime}` })),
    ].sort((a, b) => a.x - b.x),
    along: "x",
    key,
  };
};
