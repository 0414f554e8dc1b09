// Opens the lesson on the stage. Hidden (page.css) until there are scores to show it on.
{
  const button = make("button", "", "How it works, in five steps");
  button.type = "button";
  button.addEventListener("click", () => window.glimpse.lesson());
  element.firstElementChild.append(button);
}
