// What a script asked for and what did not come: a link is followed as without a script, and the page that comes says
// why; beside what is kept fresh, and in place of what was found for another text, stands that nothing came.
const note = document.getElementById("missed");
for (const kind of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(kind, ({ detail: { elt, target } }) => {
    if (elt.matches("a[href]")) return location.assign(elt.href);
    if (elt.matches("input")) target.replaceChildren();
    note.hidden = false;
  });
}
document.addEventListener("htmx:afterRequest", ({ detail }) => { if (detail.successful) note.hidden = true; });
