// Questions to try on the chosen picture: one click asks.
panel((root, value) => {
  const items = value || [];
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", "Questions to try");
  fill(
    root,
    ...items.map((text) => {
      const button = make("button", "", text);
      button.type = "button";
      button.addEventListener("click", () => document.dispatchEvent(new CustomEvent("glimpse-pick", { detail: text })));
      return button;
    }),
  );
});
