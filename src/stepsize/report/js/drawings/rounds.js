// Rehearsals: the loss at the end of each shortened run over its rate, a line a round.

const CLOSE_UP = 0.12; // of the progress, as in pictures/rounds.py

drawings.rounds = (data, view) => roundsPicture(data, view, data.start_loss);

drawings.decision = (data, view) => {
  const means = data.rounds[0].mean.filter((mean) => mean !== null);
  if (!means.length || data.start_loss === null) return roundsPicture(data, view, data.start_loss);
  const lowest = Math.min(...means);
  const progress = data.start_loss - lowest;
  const picture = roundsPicture(data, view, lowest + CLOSE_UP * progress);
  picture.marks.push(level(lowest + 0.01 * progress, "answer", "1 2"));
  picture.key.push({ swatch: "dotted", colour: "answer", label: "1% of the progress lost" });
  return picture;
};

function roundsPicture(data, view, cap) {
  const lost = (mean) => mean === null || (data.start_loss !== null && mean >= data.start_loss);
  const x = rateAxis([data.rounds.map((one) => one.lrs), data.low, data.high], view);
  const losses = data.rounds.map((one) => one.losses);
  const y = lossAxis(...finiteRange(losses, cap), `${lossName(data.loss_kind)} at the end`);
  const key = [];
  const under = [
    ...dangerZone(data.cliff, x, "worse than the start", key),
    ...answerMarks(data.lr, data.low, data.high, x, key),
  ];
  const over = [];
  const points = [];
  data.rounds.forEach((one, place) => {
    const last = place === data.rounds.length - 1;
    const shade = last ? "ink" : place === data.rounds.length - 2 ? "muted" : "line";
    const share = fraction(one.steps, one.horizon);
    key.push({
      swatch: "line",
      colour: shade,
      label: `${share.replace(" of the run", " run")}, ${plural(one.losses.length, "seed")}`,
    });
    const seeds = one.losses.flatMap((row) => known(rowsOf(one.lrs, row)));
    over.push(
      dots(seeds, shade, { fillOpacity: 0.55 }),
      line(rowsOf(one.lrs, one.mean), shade, last ? 2.2 : 1.4),
      gone(one.lrs.filter((_, i) => lost(one.mean[i]))),
    );
    one.lrs.forEach((lr, i) => {
      const column = one.losses.map((row) => row[i]);
      const ended = column.filter((loss) => loss !== null);
      const head = `rate ${number(lr)}, ${share}`;
      const mean = one.mean[i];
      points.push({
        x: lr,
        y: mean === null || mean > y.domain[1] ? y.domain[1] : mean,
        text:
          mean === null
            ? `${head}\ndiverged with ${column.length - ended.length} of ${plural(column.length, "seed")}`
            : `${head}\nmean loss ${number(mean, 4)}\nseeds ${number(Math.min(...ended), 4)} to ${number(Math.max(...ended), 4)}`,
      });
    });
  });
  const rules = ruleTicks(data.suggestions, x, y, key);
  return { x, y, marks: [...under, ...over, ...rules.marks], points: [...points, ...rules.points], key };
}

/** What rules read off the range test, as ticks on the axis; at its end where they lie beyond. */
function ruleTicks(suggestions, x, y, key) {
  const answers = suggestions.filter(({ lr }) => lr !== null);
  if (!answers.length) return { marks: [], points: [] };
  key.push({ swatch: "triangle", colour: "muted", label: "rules on the range test" });
  const points = answers.map(({ rule, lr }) => {
    const beyond = lr < x.domain[0] ? "left" : lr > x.domain[1] ? "right" : "";
    const name = rule.replace("_over_", " / ");
    const text = `rule “${name}” says ${number(lr)}${beyond && `\nbeyond the ${beyond} end of this picture`}`;
    return { x: Math.min(Math.max(lr, x.domain[0]), x.domain[1]), y: y.domain[0], text };
  });
  const marks = [
    Plot.dot(points, { x: "x", y: "y", symbol: "triangle", r: 4.5, dy: -5, fill: colour("muted"), stroke: colour("paper") }),
  ];
  return { marks, points };
}
