// The stage as a picture to save: any view at the picture's own size, with a line of words and the legend below it.
// Joined behind canvas.js, whose names it uses.
const INKS = { paper: "#ffffff", ink: "#1f2937", quiet: "#526075" };

const NAMES = {
  picture: "picture",
  heat: "relevance of every visual token",
  kept: "kept tokens",
  only: "kept tokens alone",
  wipe: "left all tokens, right the kept ones",
};
const caption = (view) => {
  const words = NAMES[view];
  const total = stage.probabilities.length;
  const { kept } = stage.selection;
  return scored() ? `${words}: ${kept} of ${total} tokens kept (${percent(kept, total)})${paddingWords()}: ${describeSettings(settingsNow())}` : words;
};

const underline = (source, view) => {
  const size = Math.max(13, Math.round(source.width / 48));
  const sheet = make("canvas");
  sheet.width = source.width;
  sheet.height = source.height + 3 * size;
  const context = sheet.getContext("2d");
  context.fillStyle = INKS.paper;
  context.fillRect(0, 0, sheet.width, sheet.height);
  context.drawImage(source, 0, 0);
  context.font = `${size}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  context.fillStyle = INKS.ink;
  const middle = source.height + 1.5 * size;
  const ramp = view === "heat" ? Math.min(180, sheet.width / 4) : 0;
  context.fillText(caption(view), size, middle, sheet.width - 3 * size - ramp);
  if (ramp) {
    const left = sheet.width - size - ramp;
    const colors = context.createLinearGradient(left, 0, left + ramp, 0);
    STOPS.forEach((stop, i) => colors.addColorStop(i / (STOPS.length - 1), `rgb(${stop.join(",")})`));
    context.fillStyle = colors;
    context.fillRect(left, middle - size / 2, ramp, size);
  }
  return sheet;
};

// Draws the view at the size that the picture was sent in, and puts the stage back as it was.
window.glimpse.png = (view = stage.view) =>
  new Promise((resolve, reject) => {
    const image = stage.images[stage.active];
    if (!image || !image.naturalWidth) return reject(new Error("There is no picture to save yet."));
    const before = { view: stage.view, cell: stage.cell };
    Object.assign(stage, { view: scored() ? view : "picture", cell: null });
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    redraw();
    const sheet = underline(canvas, stage.view);
    Object.assign(stage, before);
    resize();
    sheet.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("The picture could not be saved."))), "image/png");
  });
