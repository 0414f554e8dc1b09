// Joined in front of every panel's script. All text reaches the page through these helpers, as text and never as HTML.
const make = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};
const fill = (node, ...children) => {
  node.replaceChildren(...children.filter(Boolean));
  return node;
};
const bytesOf = (base64) => Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
// Draws once now and again whenever Python sends a new value. Updates can overtake each other on their way here: one that
// belongs to an earlier action of the visitor than what is shown (a lower epoch) is left out.
const valueOf = (sent) => (typeof sent === "string" && sent ? JSON.parse(sent) : sent);
const panel = (draw) => {
  const root = element.firstElementChild;
  let shown = 0;
  const redraw = () => {
    const value = valueOf(props.value);
    const { epoch = 0 } = value || {};
    if (epoch < shown) return;
    shown = epoch;
    draw(root, value);
  };
  watch("value", redraw);
  redraw();
};
// A row of buttons of which one is chosen, moved by arrow keys.
const radios = (box, label, choices, current, choose) => {
  box.setAttribute("role", "radiogroup");
  box.setAttribute("aria-label", label);
  for (const [name, text] of choices) {
    const button = make("button", "", text);
    button.type = "button";
    button.value = name;
    button.setAttribute("role", "radio");
    button.addEventListener("click", () => choose(name));
    box.append(button);
  }
  box.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = choices.findIndex(([name]) => name === current());
    const next = (at + step + choices.length) % choices.length;
    choose(choices[next][0]);
    box.children[next].focus();
  });
};
