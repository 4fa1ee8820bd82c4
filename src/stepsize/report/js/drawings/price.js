// The price of being wrong: the share of the progress that a multiple of the advised rate gives up.

const TALLEST = 0.12; // as in pictures/price.py

drawings.price = (data, view) => {
  const x = rateAxis([data.rehearsed, data.factors], view, "learning rate, as a multiple of the advice", (f) => `×${number(f)}`);
  const top = Math.min(Math.max(...finiteRange([data.rehearsed_lost, data.regrets, 0.02])), TALLEST);
  const y = shareAxis(top, "progress lost");
  const key = [];
  const under = dangerZone(data.cliff, x, "worse than the start", key);
  const tried = known(rowsOf(data.rehearsed, data.rehearsed_lost));
  const priced = known(rowsOf(data.factors, data.regrets)).filter((row) => row.y <= 1.1 * top && row.x !== 1);
  key.push({ swatch: "dot", colour: "ink", label: "rehearsed" });
  if (priced.length) key.push({ swatch: "ring", colour: "ink", label: "priced" });
  const text = ({ x: factor, y: lost }) =>
    `×${number(factor)}, rate ${number(factor * data.lr)}\n${lost < 1 ? percent(lost) : "all"} of the progress lost`;
  return {
    x,
    y,
    marks: [
      ...under,
      upright(1, "answer"),
      line(rowsOf(data.at, data.lost), "ink", 2),
      dots(tried, "ink"),
      Plot.dot(priced, { x: "x", y: "y", r: 5, fill: colour("paper"), stroke: colour("ink"), strokeWidth: 1.8 }),
    ],
    points: [
      ...known(rowsOf(data.at, data.lost)).filter((row) => row.y <= y.domain[1]),
      ...priced,
    ].sort((a, b) => a.x - b.x).map((row) => ({ ...row, text: text(row) })),
    along: "x",
    key,
  };
};
