// The bundled pictures, to choose one. An update without pictures only marks another one.
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
        button.addEventListener("click", () => {
          document.dispatchEvent(new CustomEvent("glimpse-turning"));
          trigger("choose", { index });
        });
        return button;
      }),
    );
  }
  [...root.children].forEach((button, index) => button.setAttribute("aria-pressed", String(index === chosen)));
});
