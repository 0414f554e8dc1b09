// One line under the question: what goes on, or what went wrong and what to do about it.
panel((root, value) => {
  const { text = "", kind = "info" } = value || {};
  root.dataset.kind = kind;
  root.setAttribute("role", kind === "error" ? "alert" : "status");
  fill(root, text && kind === "busy" ? make("span", "busy") : null, text && make("span", "line", text));
});
