// True answers as a stranger reads them: the demo world counts aloud, which looks like no answer to "how many".

const COUNTED = /^I see (?:.+): (\d+)\.$/;

/**
 * What a true answer means where its words do not say so by themselves, else nothing. As ui/truth.py.
 * @param {string | null | undefined} truth
 */
export const truthNote = (truth) => {
  const found = COUNTED.exec(truth ?? "");
  return found ? `That is ${found[1]}: this model counts aloud, one word for each that it sees (such as its color), then how many.` : "";
};
