// A range test: loss over a rising rate, each rule's answer on it, and where it diverges.

const RULE_MARKS = ["dot", "square", "triangle", "diamond", "star", "wye"];

drawings.range_test = (data, view) => {
  const x = rateAxis(data.lrs, view);
  let [low, high] = finiteRange([data.smoothed, data.losses]);
  if (data.start_loss !== null && data.start_loss > low)
    high = Math.min(high, data.start_loss + 0.2 * (data.start_loss - low));
  const y = lossAxis(low, high, lossName(data.loss_kind));
  const several = data.losses.length > 1;
  const key = [
    { swatch: "line", colour: "ink", label: "averaged" },
    { swatch: "thin", colour: "line", label: several ? "each seed" : "raw" },
  ];
  const marks = [
    ...data.stages.slice(1).map((start) => upright(start, "grid")),
    ...dangerZone(data.diverged_at[0] ?? null, x, "a seed diverges", key),
    ...data.losses.map((row) => line(rowsOf(data.lrs, row), "line", 0.9)),
    line(rowsOf(data.lrs, data.smoothed), "ink", 2),
  ];
  const answers = data.marks.filter((mark) => mark.lr !== null && mark.loss !== null);
  const named = (mark) => mark.rule.replace("_over_", " / ");
  answers.forEach((mark, place) => {
    const kind = RULE_MARKS[place % RULE_MARKS.length];
    const shade = mark.rule === "turn" ? "answer" : "muted";
    key.push({ swatch: kind, colour: shade, label: `${named(mark)} ${number(mark.lr)}` });
    marks.push(
      Plot.dot([mark], {
        x: "lr",
        y: "loss",
        symbol: kind === "dot" ? "circle" : kind,
        r: 5.5,
        fill: colour(shade),
        stroke: colour("paper"),
        clip: true,
      }),
    );
  });
  return {
    x,
    y,
    marks,
    points: [
      ...known(rowsOf(data.lrs, data.smoothed))
        .filter((row) => row.y <= y.domain[1])
        .map((row) => ({ ...row, text: `rate ${number(row.x)}\naveraged loss ${number(row.y, 4)}` })),
      ...answers.map((mark) => ({
        x: mark.lr,
        y: mark.loss,
        text: `rule “${named(mark)}”: ${number(mark.lr)}\n${mark.why}`,
      })),
    ].sort((a, b) => a.x - b.x),
    along: "x",
    key,
  };
};
