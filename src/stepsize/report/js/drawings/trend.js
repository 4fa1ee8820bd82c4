// The best rate of each rehearsal over its length, and the answer carried to the full length.

drawings.trend = (data, view) => {
  const answered = data.lr !== null;
  const x = batchAxis([...data.lengths.map((one) => one.steps), ...(answered ? [data.horizon] : [])], view);
  x.label = "updates of the run";
  const ends = [data.lengths.map((one) => [one.low, one.high]), data.lr, data.low, data.high];
  const [low, high] = finiteRange(ends);
  const y = { ...rateAxis([low / 1.6, high * 1.6], view), label: "learning rate" };
  const rows = data.lengths.map((one) => ({ ...one, x: one.steps, y: one.lr }));
  const tried = data.lengths.flatMap((one) => one.lrs.map((lr) => ({ x: one.steps, y: lr })));
  const key = [
    { swatch: "dot", colour: "ink", label: "best rate of a rehearsal" },
    { swatch: "bar", colour: "ink", label: "loses at most 1%" },
    { swatch: "cross", colour: "line", label: "rates tried" },
  ];
  const marks = [
    Plot.dot(tried, { x: "x", y: "y", symbol: "times", r: 2.5, dx: 9, stroke: colour("line"), clip: true }),
    bars(rows, "ink", 2),
    dots(rows, "ink", { r: 4 }),
  ];
  const points = rows.map((one) => ({
    x: one.x,
    y: one.y,
    text: `${plural(one.steps, "update")}, ${plural(one.seeds, "seed")}\nbest rate ${number(one.lr)}\n${number(one.low)}${one.low_open ? " or less" : ""} to ${number(one.high)}${one.high_open ? " or more" : ""} lose at most 1%`,
  }));
  if (answered) {
    const answer = { x: data.horizon, y: data.lr, low: data.low, high: data.high };
    marks.unshift(line([rows.at(-1), answer], "answer", 1, { strokeDasharray: "3 2" }));
    if (data.low !== null && data.high !== null) marks.push(bars([answer], "answer", 4));
    marks.push(dots([answer], "answer", { r: 6, symbol: "diamond" }));
    key.push({ swatch: "diamond", colour: "answer", label: "answer for the whole run" });
    points.push({
      x: answer.x,
      y: answer.y,
      text: `the whole run, ${plural(data.horizon, "update")}\nanswer ${number(data.lr)} (${span(data.low, data.high)})`,
    });
  }
  return { x, y, marks, points: points.sort((a, b) => a.x - b.x), key };
};
