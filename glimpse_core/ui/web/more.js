// Unfolds the settings that follow it on the page; page.css hides them while the button says that they are folded.
{
  const button = make("button", "", "More settings");
  const fold = (open) => button.setAttribute("aria-expanded", String(open));
  button.type = "button";
  button.setAttribute("aria-controls", "glimpse-settings");
  button.addEventListener("click", () => fold(button.getAttribute("aria-expanded") !== "true"));
  fold(false);
  element.firstElementChild.append(button);
}
