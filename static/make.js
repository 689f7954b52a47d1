// How the pages make their elements: nothing from a message or an answer is parsed as HTML, it is text.

/** An element with its class and text. */
export function make(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
