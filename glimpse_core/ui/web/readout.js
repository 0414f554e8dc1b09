// What the stage says: counts, the token under the pointer, and the same for those who cannot see it.
const CONTROLS = {
  random: ["dropped: not picked at random", "kept: picked at random"],
  inverse: ["dropped here, because the glimpse keeps it", "kept here, because the glimpse drops it"],
};
const percent = (part, whole) => `${((100 * part) / whole).toFixed(1)}%`;

const reasonOf = (index) => {
  const { mask, reason } = stage.selection;
  return stage.controlMask ? CONTROLS[stage.control][mask[index]] : REASONS[reason[index]];
};

// Of one picture, how many tokens are kept; and of its padding, how many tokens there are and how many are kept.
const tally = (page) => {
  const start = offsetOf(page);
  const item = stage.pictures[page];
  const whole = item.area.width === item.cols && item.area.height === item.rows;
  const sums = { kept: 0, padding: 0, keptPadding: 0 };
  for (let cell = 0; cell < item.rows * item.cols; cell++) {
    const on = stage.selection.mask[start + cell];
    sums.kept += on;
    if (whole || isShown(item, cell)) continue;
    sums.padding++;
    sums.keptPadding += on;
  }
  return sums;
};

const paddingWords = () => {
  const add = (name) => stage.tallies.reduce((sum, item) => sum + item[name], 0);
  return add("padding") ? `, ${add("keptPadding")} of them in the padding` : "";
};

// Of each picture of several, how many of its tokens are kept.
const countPages = () => {
  [...strip.children].forEach((button, page) => {
    const { rows, cols } = stage.pictures[page];
    button.lastElementChild.textContent = scored() ? `${stage.tallies[page].kept} of ${rows * cols}` : "";
  });
};

const describePicture = (kept, total) => {
  const { alt, rows, cols } = picture();
  const where = stage.order[0] - offset();
  const place = () => (isShown(picture(), where) ? `row ${Math.floor(where / cols) + 1}, column ${(where % cols) + 1}` : "the padding");
  const best = where >= 0 && where < rows * cols ? ` The most relevant one is in ${place()}.` : "";
  return `${alt} ${rows} rows by ${cols} columns of tokens; ${kept} of ${total} are kept${paddingWords()}.${best} Arrow keys move over the tokens, Space keeps or drops one.`;
};

const summarize = () => {
  stage.tallies = scored() ? stage.pictures.map((_, page) => tally(page)) : [];
  const total = stage.probabilities.length;
  const { kept, mask } = stage.selection;
  if (!scored()) {
    bar.style.setProperty("--share", "0");
    canvas.setAttribute("aria-label", picture() ? `${picture().alt} Ask a question to see which parts the model keeps.` : "No picture");
    countPages();
    return;
  }
  const how = stage.controlMask ? `: ${FIELD.control.choices[stage.control]}` : "";
  fill(count, make("strong", "", String(kept)), ` of ${total} tokens kept (${percent(kept, total)})${paddingWords()}${how}`);
  bar.style.setProperty("--share", String(kept / total));
  canvas.setAttribute("aria-label", describePicture(kept, total));
  countPages();
  const stale = Boolean(stage.answered) && mask.some((on, index) => on !== stage.answered[index]);
  if (document.body.dataset.glimpseStale !== String(stale)) document.body.dataset.glimpseStale = String(stale);
};

const resizedNote = () => {
  const { original, width, height } = picture() || {};
  if (!original || (original[0] === width && original[1] === height)) return "";
  return ` The model sees this picture at ${width} × ${height} pixels (yours has ${original[0]} × ${original[1]}).`;
};

const paddedNote = () => {
  const { padding } = stage.tallies[stage.active];
  return padding ? ` ${padding} of its tokens lie in the padding to a square, which is not shown.` : "";
};

const read = () => {
  if (!scored() || stage.cell === null) {
    const seen = () => `Point at a token, or use the arrow keys, to see why it stays or goes.${resizedNote()}${paddedNote()}`;
    fill(words, scored() ? seen() : "Ask a question to see which tokens stay, and why.");
    crop.hidden = true;
    return;
  }
  const { cols, area } = picture();
  const row = Math.floor(stage.cell / cols);
  const col = stage.cell % cols;
  const index = offset() + stage.cell;
  fill(
    words,
    make("strong", "", `Row ${row + 1}, column ${col + 1}`),
    ` relevance ${stage.probabilities[index].toFixed(3)} (logit ${stage.logits[index].toFixed(2)}), rank ${stage.rank[index]} of ${stage.order.length}: `,
    make("span", stage.selection.mask[index] ? "yes" : "no", reasonOf(index)),
  );
  const image = stage.images[stage.active];
  crop.hidden = false;
  crop.width = crop.height = 112;
  const [dx, dy] = [image.naturalWidth / area.width, image.naturalHeight / area.height];
  crop.getContext("2d").drawImage(image, (col - area.left) * dx, (row - area.top) * dy, dx, dy, 0, 0, 112, 112);
};
