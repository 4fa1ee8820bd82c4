// Updates against samples to one loss: the measured batch sizes, the fitted curve and its two asymptotes.

drawings.hyperbola = (data, view) => {
  const fit = data.fit;
  const beyond = 4;
  let [low, high] = finiteRange(data.by_seed);
  let [left, right] = finiteRange(data.by_seed.map((seeds, i) => seeds.map((updates) => updates * data.sizes[i])));
  if (fit) {
    const S = fit.updates_min;
    const E = S * fit.critical;
    [low, high] = [Math.max(Math.min(low, S / 1.7), low / beyond), Math.min(Math.max(high, 2 * S), high * beyond)];
    [left, right] = [Math.max(Math.min(left, E), left / beyond), Math.min(Math.max(right, 2 * E), right * beyond)];
  }
  const axis = (from, to, label, most) => {
    const domain = [from / 1.3, to * 1.5];
    return { type: "log", domain, ticks: roundTicks(...domain, most), format: count, label };
  };
  const x = axis(left, right, "samples to the loss (updates times batch size)", view.narrow ? 4 : 7);
  const y = axis(low, high, `updates to a loss of ${number(data.loss)}`, 6);
  const key = [];
  const marks = [];
  if (fit) {
    const E = fit.updates_min * fit.critical;
    const along = (updates) => fit.sizes.map((size, i) => ({ x: size * updates[i], y: updates[i] }));
    const edge = [...along(fit.lows), ...along(fit.highs).reverse()];
    marks.push(
      Plot.line([...edge, edge[0]], { x: "x", y: "y", fill: colour("answer_soft"), stroke: "none", clip: true }),
      line(along(fit.updates), "answer", 1.6),
      level(fit.updates_min, "answer", "3 2"),
      upright(E, "answer", "1 2"),
      dots([{ x: 2 * E, y: 2 * fit.updates_min }], "danger", { r: 6, symbol: "diamond" }),
    );
    key.push(
      { swatch: "line", colour: "answer", label: "fit and its 95%" },
      { swatch: "dash", colour: "answer", label: `fewest updates ${count(fit.updates_min)}` },
      { swatch: "dotted", colour: "answer", label: `fewest samples ${count(E)}` },
      { swatch: "diamond", colour: "danger", label: `critical batch ${number(fit.critical)}` },
    );
  }
  const seeds = data.by_seed.flatMap((all, i) => all.map((updates) => ({ x: updates * data.sizes[i], y: updates })));
  const rows = data.sizes.map((size, i) => ({ size, x: size * data.updates[i], y: data.updates[i] }));
  marks.push(
    dots(seeds, "muted", { r: 2.5, fillOpacity: 0.6 }),
    dots(rows, "ink", { r: 4.5 }),
    Plot.text(rows.filter((_, i) => !view.narrow || i % 2 === 0), {
      x: "x",
      y: "y",
      text: (row) => count(row.size),
      dy: -12,
      fontSize: 11,
      fill: colour("muted"),
    }),
  );
  key.unshift(
    { swatch: "dot", colour: "ink", label: "a batch size" },
    { swatch: "dot", colour: "muted", label: "each seed" },
  );
  const points = rows.map((row, i) => ({
    x: row.x,
    y: row.y,
    text: `batch ${count(row.size)}\n${count(row.y)} updates (${count(data.lows[i])} to ${count(data.highs[i])})\n${count(row.x)} samples`,
  }));
  return { x, y, marks, points, key };
};
