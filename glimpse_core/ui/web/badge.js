// The model's state: loading, ready or failed, with what it runs on.
panel((root, value) => {
  if (!value) return;
  root.dataset.state = value.state;
  root.setAttribute("role", "status");
  fill(root, make("span", "dot"), make("strong", "", value.title), make("span", "detail", value.detail));
});
