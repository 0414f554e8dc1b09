// One line under the question: what goes on, or what went wrong and what to do about it. asking.js follows.
const say = (root, text, kind) => {
  root.dataset.kind = kind;
  root.setAttribute("role", kind === "error" ? "alert" : "status");
  fill(root, text && kind === "busy" ? make("span", "busy") : null, text && make("span", "line", text));
};
