// One picture: drawn by Plot at the width that it has, again when that changes, read by pointer and by keyboard.

const NARROW = 520;

/**
 * `spec(view)` is what a drawing returns: the axes `x` and `y`, the `marks`, the `points` that can be read
 * ({x, y, text}, along "x" or in the "xy" plane), and the `key`. Plot's own <style> is taken out before the
 * picture enters the page, since the page's policy allows one style sheet, which says the same.
 */
function chart(place, spec, words) {
  const key = place.appendChild(element("ul", { class: "key" }));
  const holder = place.appendChild(
    element("div", {
      class: "plot-holder",
      tabindex: "0",
      role: "slider",
      "aria-label": `${words.title}: read it point by point with the arrow keys`,
      "aria-describedby": words.description,
      "aria-valuemin": "0",
    }),
  );
  let width = 0;
  let drawn = null;
  let at = -1;

  function draw() {
    const now = Math.floor(holder.clientWidth);
    if (!now || now === width) return;
    width = now;
    const view = { width, narrow: width < NARROW };
    drawn = spec(view);
    const svg = plotted(drawn, view);
    holder.replaceChildren(svg);
    key.replaceChildren(...(drawn.key ?? []).map(keyEntry));
    holder.setAttribute("aria-valuemax", String(Math.max(drawn.points.length - 1, 0)));
    tell(at < 0 ? 0 : at);
    at = -1;
  }

  function tell(place) {
    holder.setAttribute("aria-valuenow", String(place));
    holder.setAttribute("aria-valuetext", drawn.points[place]?.text.replaceAll("\n", ", ") ?? "no points");
  }

  function go(to) {
    at = Math.max(0, Math.min(drawn.points.length - 1, to));
    const svg = holder.querySelector("svg");
    const point = drawn.points[at];
    if (!point) return;
    const corner = svg.getBoundingClientRect();
    const scaled = corner.width / width;
    const where = {
      clientX: corner.left + scaled * svg.scale("x").apply(point.x),
      clientY: corner.top + scaled * svg.scale("y").apply(point.y),
    };
    svg.dispatchEvent(new PointerEvent("pointermove", { ...where, pointerType: "mouse", bubbles: false }));
    tell(at);
  }

  holder.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.round(drawn.points.length / 10));
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: page, PageDown: -page };
    if (event.key in steps) go((at < 0 ? (steps[event.key] > 0 ? -1 : drawn.points.length) : at) + steps[event.key]);
    else if (event.key === "Home") go(0);
    else if (event.key === "End") go(drawn.points.length - 1);
    else if (event.key === "Escape") leave();
    else return;
    event.preventDefault();
  });
  holder.addEventListener("blur", leave);

  function leave() {
    at = -1;
    holder.querySelector("svg")?.dispatchEvent(new PointerEvent("pointerleave", { pointerType: "mouse" }));
  }

  draw();
  new ResizeObserver(() => requestAnimationFrame(draw)).observe(holder);
}

function plotted({ x, y, marks, points, along = "xy", height }, view) {
  const labels = y.ticks.map((tick) => y.format(tick));
  const left = y.hidden ? 2 : 12 + 7 * Math.max(0, ...labels.map((label) => label.length));
  const point = along === "x" ? Plot.pointerX : Plot.pointer;
  const near = { x: "x", y: "y", maxRadius: 80 };
  const svg = Plot.plot({
    className: "plot",
    width: view.width,
    height: height ?? Math.round(Math.max(250, Math.min(400, 0.52 * view.width))),
    marginLeft: left,
    marginRight: 14,
    marginTop: 26,
    marginBottom: 40,
    x: { type: x.type, domain: x.domain, axis: null },
    y: { type: y.type, domain: y.domain, axis: null },
    marks: [
      y.hidden ? null : Plot.gridY(y.ticks, { stroke: colour("grid"), strokeOpacity: 1 }),
      ...marks,
      Plot.axisX(x.ticks, {
        text: x.format, // not tickFormat: a logarithmic scale would leave some out
        label: x.label,
        labelAnchor: "center",
        labelArrow: "none",
        labelOffset: 36,
        color: colour("muted"),
        stroke: colour("line"),
        fontSize: 12,
      }),
      Plot.ruleY([y.domain[0]], { stroke: colour("line") }),
      y.hidden
        ? null
        : Plot.axisY(y.ticks, { text: y.format, tickSize: 0, label: null, color: colour("muted"), fontSize: 12 }),
      Plot.text([y.label], {
        frameAnchor: "top-left",
        text: (label) => label,
        lineWidth: view.width / 12 - 2, // in letters' heights: a name from outside may be longer
        textOverflow: "ellipsis",
        dx: 2 - left,
        dy: -22,
        lineAnchor: "top",
        textAnchor: "start",
        fill: colour("muted"),
        fontSize: 12,
      }),
      Plot.dot(points, point({ ...near, r: 5, stroke: colour("ink"), strokeWidth: 1.6, fill: colour("paper") })),
      Plot.tip(
        points,
        point({ ...near, title: "text", fill: colour("paper"), stroke: colour("line"), fontSize: 12.5, lineWidth: 24 }),
      ),
    ],
  });
  svg.querySelectorAll("style").forEach((style) => style.remove());
  svg.setAttribute("aria-hidden", "true"); // the slider around it speaks for it
  return svg;
}

function keyEntry({ label, swatch, colour: name }) {
  const entry = element("li", {});
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [key, value] of Object.entries({ width: 18, height: 12, viewBox: "0 0 18 12", "aria-hidden": "true" }))
    svg.setAttribute(key, String(value));
  svg.append(swatches[swatch](colour(name)));
  entry.append(svg, label);
  return entry;
}

const shape = (name, attributes) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

const stroke = { d: "M1 6H17", fill: "none", "stroke-width": "2" };

const swatches = {
  line: (c) => shape("path", { ...stroke, stroke: c }),
  thin: (c) => shape("path", { ...stroke, stroke: c, "stroke-width": "1" }),
  dash: (c) => shape("path", { ...stroke, stroke: c, "stroke-dasharray": "3 2", "stroke-width": "1.5" }),
  dotted: (c) => shape("path", { ...stroke, stroke: c, "stroke-dasharray": "1 2", "stroke-width": "1.5" }),
  bar: (c) => shape("path", { ...stroke, d: "M9 0V12", stroke: c, "stroke-width": "1.5" }),
  band: (c) => shape("path", { d: "M1 1H17V11H1Z", fill: c }),
  frame: (c) => shape("path", { d: "M2 1.5H16V10.5H2Z", fill: "none", stroke: c, "stroke-width": "2" }),
  dot: (c) => shape("circle", { cx: "9", cy: "6", r: "3.5", fill: c }),
  ring: (c) => shape("circle", { cx: "9", cy: "6", r: "4.2", fill: "none", stroke: c, "stroke-width": "1.6" }),
  cross: (c) => shape("path", { ...stroke, d: "M5.5 2.5L12.5 9.5M12.5 2.5L5.5 9.5", stroke: c, "stroke-width": "1.5" }),
  ...Object.fromEntries(
    ["square", "triangle", "diamond", "star", "wye"].map((name) => [
      name,
      (c) => {
        const kind = { square: d3.symbolSquare, triangle: d3.symbolTriangle, diamond: d3.symbolDiamond }[name];
        const drawn = d3.symbol(kind ?? (name === "star" ? d3.symbolStar : d3.symbolWye), 48)();
        return shape("path", { d: drawn, fill: c, transform: "translate(9 6)" });
      },
    ]),
  ),
};

function element(name, attributes) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
