// Copy buttons, which are there only for those who can use them.

function copyButton(button) {
  const said = button.parentElement.querySelector("[aria-live]");
  const label = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = [...document.querySelectorAll(button.dataset.copy)].find((one) => one.offsetParent !== null);
    const done = await copied(source);
    button.textContent = done ? "Copied" : label;
    said.textContent = done ? "The code is in the clipboard." : "Not allowed here: the code is selected, press Ctrl-C.";
    setTimeout(() => (button.textContent = label), 2000);
  });
}

/** Whether the text went into the clipboard; where a browser forbids that, it is left selected. */
async function copied(source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(source);
    return document.execCommand("copy");
  }
}
