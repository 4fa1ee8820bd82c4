// What each part of the answer is worth: the share of the progress that another choice loses.

const LONGEST = 1; // intervals are drawn as far as all of the progress, as in pictures/worth.py

drawings.worth = (data, view) => {
  const rows = data.names.map((name, place) => ({
    name,
    y: data.names.length - place,
    lost: data.lost[place],
    low: data.lows[place],
    high: data.highs[place],
    words: data.words[place],
  }));
  const held = (share) => Math.max(-LONGEST, Math.min(LONGEST, share));
  const told = rows.filter((row) => row.lost !== null);
  const ends = told.flatMap((row) => [row.lost, row.low ?? row.lost, row.high ?? row.lost]).map(held);
  const [least, most] = finiteRange([...ends, 0]);
  const room = 0.06 * (most - least) || 0.01;
  const domain = [least - room, most + room];
  return {
    x: {
      type: "linear",
      domain,
      ticks: d3.ticks(...domain, view.narrow ? 4 : 7),
      format: (share) => percent(Number(share.toFixed(6))).replace("-", "−"),
      label: "share of the progress lost",
    },
    y: { type: "linear", domain: [0.5, rows.length + 0.9], ticks: [], format: String, label: "the answer is the line at 0", hidden: true },
    height: 66 + 34 * rows.length,
    marks: [
      upright(0, "answer"),
      Plot.ruleY(
        told.filter((row) => row.low !== null && row.high !== null),
        { y: "y", x1: (row) => held(row.low), x2: (row) => held(row.high), stroke: colour("line"), strokeWidth: 2.5 },
      ),
      Plot.dot(told, { x: (row) => held(row.lost), y: "y", r: 4.5, fill: colour("ink") }),
      Plot.text(rows, {
        y: "y",
        frameAnchor: "left",
        textAnchor: "start",
        text: (row) => (row.lost === null ? `${row.name}: diverges` : row.name),
        fill: (row) => colour(row.lost === null ? "danger" : "muted"),
        stroke: colour("paper"),
        strokeWidth: 4,
        dx: 2,
        dy: -13,
        fontSize: 12,
      }),
    ],
    points: rows.map((row) => ({ x: held(row.lost ?? 0), y: row.y, text: `${row.name}\n${row.words}` })),
    key: [
      { swatch: "dot", colour: "ink", label: "instead of the answer" },
      { swatch: "line", colour: "line", label: "95% interval" },
    ],
  };
};
