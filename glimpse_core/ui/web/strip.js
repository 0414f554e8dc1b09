// The bundled pictures, to choose one. One choice is under way at a time, since Gradio would let them overtake each other;
// of those made meanwhile, the last one follows. An update without pictures only marks another one.
const choice = { since: null, next: null };
const PATIENCE = 5000; // milliseconds until a choice without an answer counts as lost
const turn = (replaced) => document.dispatchEvent(new CustomEvent("glimpse-turning", { detail: { replaced } }));

const sendChoice = (index) => {
  Object.assign(choice, { since: performance.now(), next: null });
  trigger("choose", { index });
};

const chooseExample = (index) => {
  const busy = choice.since !== null && performance.now() - choice.since < PATIENCE;
  turn(busy && choice.next !== null);
  if (busy) choice.next = index;
  else sendChoice(index);
};

document.addEventListener("glimpse-turned", () => {
  choice.since = null;
  if (choice.next !== null) sendChoice(choice.next);
});

panel((root, value) => {
  const { items, chosen = null } = value || {};
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", "Example pictures");
  if (items) {
    fill(
      root,
      ...items.map((item, index) => {
        const button = make("button");
        const image = make("img");
        image.src = item.src;
        image.alt = item.alt;
        button.type = "button";
        button.append(image);
        button.addEventListener("click", () => chooseExample(index));
        return button;
      }),
    );
  }
  [...root.children].forEach((button, index) => button.setAttribute("aria-pressed", String(index === chosen)));
});
