// The schedule: the rate over the updates of the real run, read as update, epoch, samples and rate.

drawings.schedule = (data, view) => {
  const x = countAxis(Math.max(data.steps - 1, 1), view, "update of the real run");
  const domain = [0, 1.08 * Math.max(...data.rates)];
  const y = { type: "linear", domain, ticks: d3.ticks(...domain, 4), format: (rate) => number(rate), label: "learning rate" };
  const rows = rowsOf(data.updates, data.rates);
  return {
    x,
    y,
    marks: [
      Plot.areaY(rows, { x: "x", y1: 0, y2: "y", fill: colour("answer_soft") }),
      line(rows, "answer", 2),
    ],
    points: rows.map((row, place) => {
      const epoch = data.epochs === null ? "" : `\nepoch ${number(data.epochs[place])}`;
      const samples = `\n${count(data.samples[place])} samples seen`;
      return { ...row, text: `update ${count(row.x)}${epoch}${samples}\nrate ${number(row.y)}` };
    }),
    along: "x",
    key: [],
  };
};
