// Export: the stage as PNG is made here, the other files and the link by the server.
const download = (blob, name) => {
  const link = make("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
};
const message = make("p", "message");
const address = make("input", "address");
const savePicture = async () => {
  try {
    const { view, active } = window.glimpse.stage;
    download(await window.glimpse.png(view), `glimpse-${view}-${active + 1}.png`);
    message.textContent = "";
  } catch (error) {
    message.textContent = error.message;
  }
};
const ACTIONS = [
  ["png", "This view (PNG)", savePicture],
  ["html", "Report (HTML)", () => trigger("save", { kind: "html" })],
  ["json", "Data (JSON)", () => trigger("save", { kind: "json" })],
  ["link", "Copy link", () => trigger("link", { told: window.glimpse.settings() })],
];
const showLink = async (query, note) => {
  address.value = `${location.origin}${location.pathname}${query}`;
  address.hidden = false;
  try {
    await navigator.clipboard.writeText(address.value);
    message.textContent = `The link is copied. ${note}`;
  } catch {
    address.select(); // no clipboard for this page: the address is there to be copied
    message.textContent = `Copy this link: ${note}`;
  }
};
const buttons = ACTIONS.map(([name, label, action]) => {
  const button = make("button", "", label);
  button.type = "button";
  button.value = name;
  button.addEventListener("click", action);
  return button;
});
address.type = "text";
address.readOnly = true;
address.hidden = true;
address.setAttribute("aria-label", "Link to this example, question and settings");
message.setAttribute("role", "status");
const row = make("div", "row");
row.setAttribute("role", "group");
row.setAttribute("aria-label", "Save");
row.append(make("span", "", "Save"), ...buttons);
element.firstElementChild.append(row, message, address);

let done = 0;
panel((root, value) => {
  const { serial = 0, file, link, note = "" } = value || {};
  if (serial <= done) return;
  done = serial;
  message.textContent = note;
  address.hidden = true;
  if (file) download(new Blob([file.text], { type: file.type }), file.name);
  if (link !== undefined) showLink(link, note);
});
