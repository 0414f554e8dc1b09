// The dial's scale: numbers of tokens from one to all, each step the same factor above the one before.

/** Where a number of tokens stands, from 0 to 1. @param {number} count @param {number} total */
export const placeOf = (count, total) => (total > 1 ? Math.log(Math.max(1, Math.min(count, total))) / Math.log(total) : 1);

/** The number of tokens at a place. @param {number} place from 0 to 1 @param {number} total */
export const countAt = (place, total) => Math.max(1, Math.min(total, Math.round(total ** place)));

const REACH = 0.012; // how near to the glimpse's own choice the dial snaps to it, as a part of its length

/**
 * The number of tokens at a place, or the glimpse's own choice where that is near.
 * @param {number} place @param {number} total @param {number} own
 */
export const snapped = (place, total, own) => (Math.abs(place - placeOf(own, total)) <= REACH ? own : countAt(place, total));

/**
 * Answers at many budgets, joined where neighbors say the same.
 * @template {{ budget: number, text: string, finished: string | null }} A
 * @param {A[]} answers ascending
 * @returns {{ first: number, last: number, answer: A }[]} answer: the one at the largest of its budgets
 */
export const segmentsOf = (answers) => {
  /** @type {{ first: number, last: number, answer: A }[]} */
  const segments = [];
  for (const answer of answers) {
    const before = segments.at(-1);
    const same = before && before.answer.text === answer.text && Boolean(before.answer.finished) === Boolean(answer.finished);
    if (same) Object.assign(before, { last: answer.budget, answer });
    else segments.push({ first: answer.budget, last: answer.budget, answer });
  }
  return segments;
};
