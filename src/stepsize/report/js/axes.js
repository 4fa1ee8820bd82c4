// The axes that pictures share, with the limits and ticks of report/axes.py.

/** Smallest and largest finite value, the latter at most `cap` if that leaves a range. */
function finiteRange(values, cap = Infinity) {
  const known = values.flat(Infinity).filter((value) => value !== null && Number.isFinite(value));
  if (!known.length) return [0, 1];
  const low = Math.min(...known);
  const high = Math.max(...known);
  return cap !== null && Number.isFinite(cap) && low < cap ? [low, Math.min(high, cap)] : [low, high];
}

/** Round values within [low, high] for a logarithmic axis, at most `most` of them. */
function roundTicks(low, high, most) {
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const slack = 1 + 1e-9;
  const choices = [
    ...d3.range(12, 0, -1).map((every) => [every, [1]]),
    [1, [1, 3]],
    [1, [1, 2, 5]],
    [1, [1, 1.5, 2, 3, 5, 7]],
    [1, d3.range(1, 10)],
    [1, d3.range(10, 100).map((digit) => digit / 10)],
  ];
  let best = [];
  for (const [every, digits] of choices) {
    const start = first - (((first % every) + every) % every);
    const ticks = d3
      .range(start, last + 1, every)
      .flatMap((power) => digits.map((digit) => Number(`${digit}e${power}`)))
      .filter((tick) => tick >= low / slack && tick <= high * slack);
    if (ticks.length <= most && ticks.length > best.length) best = ticks;
  }
  return best.length ? best : [Math.sqrt(low * high)];
}

/** A logarithmic axis over these rates. */
function rateAxis(lrs, view, label = "learning rate", format = (rate) => number(rate)) {
  const [least, most] = finiteRange(lrs);
  const margin = most > least ? (most / least) ** 0.02 : 1.5;
  const domain = [least / margin, most * margin];
  return { type: "log", domain, ticks: roundTicks(...domain, view.narrow ? 5 : 8), format, label };
}

/** A linear axis from zero with whole numbers. */
function countAxis(most, view, label = "update") {
  const ticks = d3.ticks(0, most, view.narrow ? 4 : 8).filter(Number.isInteger);
  return { type: "linear", domain: [0, most], ticks, format: count, label };
}

/** A logarithmic axis with the batch sizes themselves as ticks. */
function batchAxis(sizes, view) {
  const all = [...new Set(sizes)].sort((a, b) => a - b);
  const every = Math.ceil(all.length / (view.narrow ? 4 : 10));
  return {
    type: "log",
    domain: [all[0] / 1.25, all.at(-1) * 1.25],
    ticks: all.filter((_, place) => place % every === 0),
    format: count,
    label: "batch size",
  };
}

/** Places beside each other, each with its own label. */
function placesAxis(labels, view, label) {
  const every = Math.ceil(labels.length / (view.narrow ? 5 : 12));
  return {
    type: "linear",
    domain: [-0.5, labels.length - 0.5],
    ticks: d3.range(0, labels.length, every),
    format: (place) => labels[place],
    label,
  };
}

/** Losses, with a little room; logarithmic when they span more than a factor of 5. */
function lossAxis(low, high, label, format = (loss) => number(loss, 4)) {
  if (low > 0 && high / low > 5) {
    const room = (high / low) ** 0.06;
    const domain = [low / room, high * room];
    return { type: "log", domain, ticks: roundTicks(...domain, 6), format, label };
  }
  const room = 0.06 * (high - low) || 0.06 * Math.abs(high) || 1;
  const domain = [low - room, high + room];
  return { type: "linear", domain, ticks: d3.ticks(...domain, 5), format, label };
}

/** Shares from zero to a little above `top`, as percentages. */
function shareAxis(top, label) {
  const domain = [0, 1.15 * top];
  return { type: "linear", domain, ticks: d3.ticks(...domain, 4), format: (share) => `${number(100 * share)}%`, label };
}
