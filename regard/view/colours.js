// Colours come from the style sheet, so that light and dark are decided in one place.

export function coloursOf(root) {
  const style = getComputedStyle(root);
  const named = (name) => style.getPropertyValue(`--${name}`).trim();
  const stops = named("ramp").split(",").map((stop) => {
    const number = parseInt(stop.trim().slice(1), 16);
    return [number >> 16, (number >> 8) & 255, number & 255];
  });
  // The root makes small weights visible, and the legend is drawn by the same rule.
  const ramp = (weight) => {
    const place = Math.sqrt(Math.min(1, Math.max(0, weight))) * (stops.length - 1);
    const low = Math.min(Math.floor(place), stops.length - 2);
    return stops[low].map((part, i) => Math.round(part + (stops[low + 1][i] - part) * (place - low)));
  };
  return { ramp, ...Object.fromEntries(["paper", "ink", "soft", "line", "accent", "tint", "doubt"].map((n) => [n, named(n)])) };
}

export const rgb = ([r, g, b]) => `rgb(${r}, ${g}, ${b})`;
// What can be read on a colour of the ramp: black or white, whichever differs more from it (WCAG 2, relative luminance). The
// worse case of the better of both has a ratio of 4.58.
const light = ([r, g, b]) =>
  [r, g, b].reduce((sum, part, i) => {
    const share = part / 255;
    return sum + [0.2126, 0.7152, 0.0722][i] * (share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4);
  }, 0);
export const onTop = (colour) => (1.05 / (light(colour) + 0.05) > (light(colour) + 0.05) / 0.05 ? "#ffffff" : "#000000");
// How strongly doubt is marked under a word that was said with this probability.
export const doubted = (probability) => 0.9 * Math.max(0, 1 - probability) ** 1.3;
