// One line under the question: what goes on, or what went wrong and what to do about it.
const say = (root, text, kind) => {
  root.dataset.kind = kind;
  root.setAttribute("role", kind === "error" ? "alert" : "status");
  fill(root, text && kind === "busy" ? make("span", "busy") : null, text && make("span", "line", text));
};
// Said from the click until the server answers, which takes a while when other visitors are asking, too.
document.addEventListener("glimpse-say", (event) => say(element.firstElementChild, event.detail, "busy"));
panel((root, value) => {
  const { text = "", kind = "info" } = value || {};
  say(root, text, kind);
});
