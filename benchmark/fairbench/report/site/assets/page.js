"use strict";
// What every page does: copy BibTeX, and unfold everything for print.

for (const button of document.querySelectorAll("button.copy")) {
  const text = button.parentElement.querySelector("pre");
  const status = button.parentElement.querySelector("[role=status]");
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.textContent); // absent where a site is served without encryption
      status.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(text);
      status.textContent = "Not allowed to copy; it is selected.";
    }
  });
}

window.addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details:not(.columns)")) folded.open = true;
});
