// Elements are made here and nowhere else. Text enters the page as text, never as markup.

export const END = "</s>";

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") element.className = value;
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && typeof value !== "string") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

// Text whose direction is its own, so that Arabic stands right in an English page.
export const word = (text, kind = "") => make("span", { dir: "auto", class: kind, title: text }, seenText(text));
export const kindOf = (text) => (text === END ? "end" : "");
export const seenText = (text) => (text.trim() === "" ? "∅" : text);

// Log-probabilities as people write them, with a minus sign and not a hyphen.
export const signed = (number, digits = 2) => number.toFixed(digits).replace("-", "−");

// Gives a canvas so many CSS pixels at the screen's sharpness, and the context to draw on it in CSS pixels.
export function sized(canvas, width, height, scale = window.devicePixelRatio || 1) {
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const draw = canvas.getContext("2d");
  draw.setTransform(scale, 0, 0, scale, 0, 0);
  return draw;
}

// Browsers refuse a canvas beyond some size, and give a blank one instead.
export const LONGEST = 16000;
export const LARGEST = 4e7;

export function sharpness(width, height) {
  const most = Math.min(LONGEST / Math.max(width, height), Math.sqrt(LARGEST / (width * height)));
  return Math.min(window.devicePixelRatio || 1, most);
}
