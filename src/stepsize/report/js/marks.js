// Marks that several pictures share, in the colours of the page.

const colour = (name) => `var(--${name.replace("_", "-")})`;

const SEVERAL = ["ink", "low_1", "high_1", "low_2", "high_2", "low_3", "high_3"];

/** A band from one place to another along x. */
function band(x1, x2, name) {
  return Plot.rectX([{ x1, x2 }], { x1: "x1", x2: "x2", fill: colour(name), clip: true });
}

/** A line across the picture at one x. */
function upright(x, name, dash) {
  return Plot.ruleX([x], { stroke: colour(name), strokeWidth: dash ? 1 : 1.2, strokeDasharray: dash, clip: true });
}

/** A line across the picture at one y. */
function level(y, name, dash) {
  return Plot.ruleY([y], { stroke: colour(name), strokeWidth: 1, strokeDasharray: dash, clip: true });
}

/** The advised rate with its value, and its interval as a band; `key` gets what they are. */
function answerMarks(lr, low, high, axis, key) {
  if (lr === null) return [];
  const marks = [];
  if (low !== null && high !== null) {
    marks.push(band(low, high, "answer_soft"));
    key.push({ swatch: "band", colour: "answer_soft", label: "loses at most 1%" });
  }
  const [left, right] = axis.domain.map(Math.log);
  const room = (Math.log(lr) - left) / (right - left) > 0.15;
  marks.push(
    upright(lr, "answer"),
    Plot.text([lr], {
      x: (x) => x,
      frameAnchor: "top",
      text: (x) => number(x),
      textAnchor: room ? "end" : "start",
      lineAnchor: "top",
      dx: room ? -6 : 6,
      dy: 4,
      fill: colour("answer"),
      stroke: colour("paper"),
      strokeWidth: 4,
      fontWeight: 600,
    }),
  );
  return marks;
}

/** Everything from a rate on, shaded. */
function dangerZone(from, axis, label, key) {
  if (from === null || from >= axis.domain[1]) return [];
  key.push({ swatch: "band", colour: "danger_soft", label });
  return [band(from, axis.domain[1], "danger_soft"), upright(from, "danger", "3 2")];
}

/** A cross at the upper edge for each rate that has no loss to show. */
function gone(lrs) {
  return Plot.dot(lrs, {
    x: (lr) => lr,
    frameAnchor: "top",
    dy: 7,
    symbol: "times",
    r: 3.5,
    stroke: colour("danger"),
    strokeWidth: 1.4,
  });
}

/** Rows of {x, y} as a line through those that are known. */
function line(rows, name, width = 1.5, options = {}) {
  return Plot.line(rows, { x: "x", y: "y", stroke: colour(name), strokeWidth: width, clip: true, ...options });
}

/** Rows of {x, y} as dots. */
function dots(rows, name, options = {}) {
  return Plot.dot(rows, { x: "x", y: "y", fill: colour(name), r: 3, clip: true, ...options });
}

/** Rows of {x, low, high} as bars. */
function bars(rows, name, width = 1.3) {
  return Plot.ruleX(rows, { x: "x", y1: "low", y2: "high", stroke: colour(name), strokeWidth: width, clip: true });
}

/** Pairs up columns into rows of {x, y}; a y of null breaks a line. */
function rowsOf(xs, ys) {
  return xs.map((x, place) => ({ x, y: ys[place] }));
}

const known = (rows) => rows.filter((row) => row.y !== null && row.y !== undefined);
