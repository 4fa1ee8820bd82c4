// Loss curves with their verdicts: one with its plateaus, or several told apart by colour and dashes.

const VERDICTS = {
  too_slow: ["low_1", "5 2"],
  converging: ["ink", null],
  oscillating: ["high_1", "5 2 1 2"],
  diverging: ["danger", "1 2"],
  undetermined: ["muted", "1 3"],
};

drawings.diagnosis = (data, view) => {
  const alone = data.traces.length === 1;
  const starts = data.traces.map((trace) => trace.losses[0]).filter((loss) => loss !== null);
  const cap = starts.length ? (alone ? 5 : 1.4) * d3.median(starts) : null;
  const x = countAxis(Math.max(...data.traces.map((trace) => trace.updates.at(-1))), view);
  const y = lossAxis(...finiteRange(data.traces.map((trace) => trace.losses), cap), data.what);
  const key = [];
  const marks = [];
  const points = [];
  for (const trace of data.traces) {
    const judged = data.judged[trace.place];
    const [shade, dashes] = VERDICTS[judged.verdict];
    const words = judged.verdict.replace("_", " ");
    for (const still of alone ? trace.plateaus : []) marks.push(band(still.start, still.end, "answer_soft"));
    const means = rowsOf(trace.mean_updates, trace.means);
    marks.push(
      line(rowsOf(trace.updates, trace.losses), alone ? "line" : shade, 0.8, { strokeOpacity: alone ? 1 : 0.35 }),
      line(means, alone ? "ink" : shade, 2, dashes && !alone ? { strokeDasharray: dashes } : {}),
    );
    if (trace.lost_at !== null) marks.push(upright(trace.lost_at, "danger", "3 2"));
    const head = [judged.label, words].filter(Boolean).join(" ");
    key.push({ swatch: judged.verdict === "converging" ? "line" : "dash", colour: alone ? "ink" : shade, label: head });
    points.push(
      ...known(means)
        .filter((row) => row.y <= y.domain[1])
        .map((row) => ({ ...row, text: `${head}\nupdate ${count(row.x)}, loss ${number(row.y, 4)}` })),
    );
  }
  if (alone && data.traces[0].plateaus.length) key.push({ swatch: "band", colour: "answer_soft", label: "stands still" });
  return { x, y, marks, points, key };
};
