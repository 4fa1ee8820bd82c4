// Warm-ups by length: where the runs end, seed by seed.

drawings.warmups = (data, view) => {
  const x = placesAxis(data.updates.map(count), view, "updates of warm-up");
  const seeds = data.losses.flatMap((losses, place) => losses.map((loss) => ({ x: place, y: loss })));
  const means = data.losses.map((losses, place) => ({ x: place, y: losses.length ? d3.mean(losses) : null }));
  const y = lossAxis(...finiteRange(data.losses), "held-out loss");
  const advised = known(means).filter((row) => data.updates[row.x] === data.chosen);
  const key = [
    { swatch: "line", colour: "ink", label: "mean" },
    { swatch: "dot", colour: "muted", label: "one seed" },
  ];
  if (advised.length) key.push({ swatch: "dot", colour: "answer", label: "advised" });
  return {
    x,
    y,
    marks: [
      dots(seeds, "muted", { r: 2.5 }),
      line(known(means), "ink", 1.4),
      dots(advised, "answer", { r: 6 }),
      gone(means.filter((row) => row.y === null).map((row) => row.x)),
    ],
    points: means.map((row) => {
      const rise = data.rises[row.x];
      const early = rise === null ? "" : `\nthe training loss first rises by ${percent(rise)}`;
      const end = row.y === null ? "diverges" : `mean loss ${number(row.y, 4)}`;
      return { x: row.x, y: row.y ?? y.domain[1], text: `${plural(data.updates[row.x], "update")} of warm-up\n${end}${early}` };
    }),
    along: "x",
    key,
  };
};
