// Questions to try on the chosen picture: one click asks.
panel((root, value) => {
  const items = value || [];
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", "Questions to try");
  fill(
    root,
    ...items.map((text, index) => {
      const button = make("button", "", text);
      button.type = "button";
      button.addEventListener("click", () => trigger("pick", { index }));
      return button;
    }),
  );
});
