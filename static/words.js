// How the pages put into words what a message or an answer says, whatever that is. Knows nothing of either, and makes no element.

/** A string as it is, anything else as JSON. */
export function inWords(value = '', indent = 0) {
  if (typeof value === 'string') return value;
  try {
    return JSON.stringify(value, null, indent);
  } catch {
    return '…'; // Nested more deeply than the stack allows.
  }
}

/** A time as a number of the largest unit of which there are two, rounded down; of seconds, up. */
export function spanInWords(seconds) {
  for (const [unit, unitS] of [['d', 86_400], ['h', 3_600], ['min', 60]]) {
    if (seconds >= 2 * unitS) return `${Math.floor(seconds / unitS)} ${unit}`;
  }
  return `${Math.ceil(seconds)} s`;
}
