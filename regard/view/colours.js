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
// What can be read on a colour of the ramp.
export const onTop = ([r, g, b]) => (0.299 * r + 0.587 * g + 0.114 * b < 140 ? "#ffffff" : "#0a0e1c");
// How strongly doubt is marked under a word that was said with this probability.
export const doubted = (probability) => 0.9 * Math.max(0, 1 - probability) ** 1.3;
