// Rate by batch size: a cell a pair, darker the better, its value where there is room.

const CELLS = {
  // up to where each shade goes, as in pictures/grid.py
  loss: [
    [0.01, "≤ 1% lost"],
    [0.05, "≤ 5%"],
    [0.2, "≤ 20%"],
    [0.5, "≤ 50%"],
    [Infinity, "more"],
  ],
  updates: [
    [1.1, "≤ 1.1 × the fewest"],
    [1.5, "≤ 1.5"],
    [2, "≤ 2"],
    [4, "≤ 4"],
    [Infinity, "more"],
  ],
};
const CELL_SHADES = ["answer", "low_1", "low_2", "low_3", "answer_soft"];
const CELL_SIGNS = {
  diverged: ["times", "danger", "cross"],
  "worse than the start": ["plus", "danger", "cross"],
  "not reached": ["square", "muted", "square"],
  stopped: ["triangle", "muted", "triangle"],
};
const ALONE = 0.2; // half the width, in ln(rate), of a cell without neighbours

drawings.heatmap = (data, view) => {
  const cells = data.rows.flatMap((row, place) => cellsOf(row, place, data.quantity));
  const x = rateAxis(cells.flatMap((cell) => [cell.x1, cell.x2]), view);
  x.domain = finiteRange(cells.map((cell) => [cell.x1, cell.x2]));
  const y = { ...placesAxis(data.rows.map((row) => count(row.batch_size)), view, "batch size"), hidden: false };
  y.ticks = d3.range(data.rows.length);
  const narrowest = Math.min(...cells.map((cell) => Math.log(cell.x2 / cell.x1))) / Math.log(x.domain[1] / x.domain[0]);
  const longest = Math.max(...cells.map((cell) => cell.written.length));
  const roomy = narrowest * (view.width - 60) > 6.5 * longest;
  const shaded = cells.filter((cell) => cell.level !== null);
  const best = cells.filter((cell) => cell.best);
  const key = [...new Set(shaded.map((cell) => cell.level))]
    .sort((a, b) => a - b)
    .map((place) => ({ swatch: "band", colour: CELL_SHADES[place], label: CELLS[data.quantity][place][1] }));
  if (best.length) key.push({ swatch: "frame", colour: "ink", label: "best of a batch size" });
  const marks = [
    Plot.rect(cells.filter((cell) => cell.state !== "missing"), {
      x1: "x1",
      x2: "x2",
      y1: "y1",
      y2: "y2",
      fill: (cell) => colour(cell.shade),
      stroke: colour("paper"),
    }),
  ];
  if (roomy)
    marks.push(
      Plot.text(shaded, {
        x: "x",
        y: "y",
        text: "written",
        fontSize: 11,
        fill: colour("ink"),
        stroke: colour("paper"), // neither would be read on every shade without the other
        strokeWidth: 3,
      }),
    );
  for (const [state, [symbol, shade, swatch]] of Object.entries(CELL_SIGNS)) {
    const these = cells.filter((cell) => cell.state === state);
    if (!these.length) continue;
    marks.push(Plot.dot(these, { x: "x", y: "y", symbol, r: 4, stroke: colour(shade), strokeWidth: 1.6 }));
    key.push({ swatch, colour: shade, label: state });
  }
  marks.push(
    Plot.rect(best, { x1: "x1", x2: "x2", y1: "y1", y2: "y2", fill: "none", stroke: colour("ink"), strokeWidth: 2 }),
  );
  return {
    x,
    y,
    marks,
    points: cells.filter((cell) => cell.state !== "missing"),
    key,
    height: Math.max(180, 70 + 34 * data.rows.length),
  };
};

function cellsOf(row, place, quantity) {
  const logs = row.cells.map((cell) => Math.log(cell.lr));
  const between = d3.pairs(logs, (a, b) => (a + b) / 2);
  const first = logs.length > 1 ? (logs[1] - logs[0]) / 2 : ALONE;
  const last = logs.length > 1 ? (logs.at(-1) - logs.at(-2)) / 2 : ALONE;
  const edges = [logs[0] - first, ...between, logs.at(-1) + last].map(Math.exp);
  return row.cells.map((cell, i) => {
    const measured = cell.state === "measured" && cell.behind !== null;
    const level = measured ? CELLS[quantity].findIndex(([end]) => cell.behind <= end) : null;
    const unknown = ["not reached", "stopped"].includes(cell.state) ? "grid" : "danger_soft";
    const written = cell.value === null ? "" : quantity === "updates" ? count(cell.value) : number(cell.value);
    return {
      state: cell.state,
      level,
      written,
      shade: level === null ? unknown : CELL_SHADES[level],
      best: row.best === i,
      x: Math.sqrt(edges[i] * edges[i + 1]),
      y: place,
      x1: edges[i],
      x2: edges[i + 1],
      y1: place - 0.5,
      y2: place + 0.5,
      text: `batch ${count(row.batch_size)}, rate ${number(cell.lr)}\n${measured ? `${written} ${quantity === "updates" ? "updates" : "loss"}` : cell.state}${row.best === i ? ", the best" : ""}`,
    };
  });
}
