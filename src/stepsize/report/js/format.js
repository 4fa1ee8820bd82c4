// How numbers are written: the same words as report/numbers.py, which tests/browser compares.

function number(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e").map(Number);
  let text;
  if (exponent >= -4 && exponent < digits) text = String(Number(value.toFixed(digits - 1 - exponent)));
  else if (Math.abs(value) >= 1e-4 && Math.abs(value) < 1e6) text = count(Number(`${mantissa}e${exponent}`));
  else return `${mantissa}e${exponent}`;
  return text.replace("-", "−");
}

function count(value) {
  return Math.round(value).toLocaleString("en-US");
}

function plural(value, noun) {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

function percent(share) {
  if (share === null || share === undefined || Number.isNaN(share)) return "–";
  if (!Number.isFinite(share)) return "∞";
  if (share === 0) return "0%";
  if (share > 0 && share < 0.0005) return "under 0.1%";
  return `${(100 * share).toFixed(Math.abs(share) < 0.0995 ? 1 : 0)}%`;
}

function fraction(part, whole) {
  if (part >= whole) return "the whole run";
  const inverse = Math.round(whole / part);
  if (Math.abs((part * inverse) / whole - 1) < 0.05) return `1/${inverse} of the run`;
  return `${percent(part / whole)} of the run`;
}

/** A schedule's text with its long decimals cut to four digits. */
function short(text) {
  return text.replace(/(?<![\w.])\d*\.\d{4,}(?:e[+-]?\d+)?/g, (found) =>
    number(Number(found), 4).replace(/e-(\d)$/, "e-0$1"),
  );
}

/** `low to high`, with an open end said in words. */
function span(low, high, digits = 3) {
  if (low === null || high === null) return low === null ? "–" : `at least ${number(low, digits)}`;
  return `${number(low, digits)} to ${number(high, digits)}`;
}
