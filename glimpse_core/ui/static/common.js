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
// Draws once now and again whenever Python sends a new value.
const panel = (draw) => {
  const root = element.firstElementChild;
  const redraw = () => draw(root, props.value);
  watch("value", redraw);
  redraw();
};
