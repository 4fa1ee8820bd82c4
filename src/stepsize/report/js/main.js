// Takes the page's data out of it and puts a drawing into every figure that has one.

const words = JSON.parse(document.getElementById("figures").textContent);

const lossName = (kind) => words.losses[kind] ?? `${kind} loss`;

for (const [name, { drawing, data }] of Object.entries(words.figures)) {
  const figure = document.getElementById(`picture-${name}`);
  const live = element("div", { class: "live" });
  figure.prepend(live);
  figure.classList.add("drawn"); // hides the picture that stands there for those without scripts
  try {
    const title = document.getElementById(`figure-${name}`).textContent;
    chart(live, (view) => drawings[drawing](data, view), { title, description: `alt-${name}` });
  } catch (error) {
    figure.classList.remove("drawn");
    live.remove();
    console.error(`the picture ${name} cannot be drawn, its printed form stays`, error);
  }
}

document.querySelectorAll("[data-copy]").forEach(copyButton);
const whatIf = document.getElementById("what-if");
if (whatIf) slider(whatIf, words.what_if);
