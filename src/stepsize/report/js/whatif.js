// The slider over batch sizes: every row was worked out beforehand, see report/whatif.py.

function slider(section, rows) {
  const range = section.querySelector("input");
  const cells = [...section.querySelectorAll("[data-value]")];
  const table = [...section.querySelectorAll("tbody tr")];
  section.querySelector(".controls").hidden = false;
  function show() {
    const place = Number(range.value);
    const row = rows[place];
    for (const cell of cells) cell.textContent = row[cell.dataset.value];
    table.forEach((one, index) => one.classList.toggle("chosen", index === place));
    range.setAttribute("aria-valuetext", `batch size ${row.batch_size}`);
  }
  range.addEventListener("input", show);
  show();
}
