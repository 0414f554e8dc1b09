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
// Draws once now and again whenever Python sends a new value. Updates can overtake each other on their way here: one that
// belongs to an earlier action of the visitor than what is shown (a lower epoch) is left out.
const panel = (draw) => {
  const root = element.firstElementChild;
  let shown = 0;
  const redraw = () => {
    const { epoch = 0 } = props.value || {};
    if (epoch < shown) return;
    shown = epoch;
    draw(root, props.value);
  };
  watch("value", redraw);
  redraw();
};
