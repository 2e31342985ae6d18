// The output said step by step: play, pause, one step back or forward. `until` counts rows, with a part of the next; null
// stands for all of them.
import { make } from "./dom.js";

const STEP = 650;
const still = matchMedia("(prefers-reduced-motion: reduce)");

export function player(show) {
  let count = 0;
  let until = null;
  let frame = null;
  let last = null;
  const play = make("button", { type: "button", class: "play", onclick: () => toggle() });
  const back = make("button", { type: "button", "aria-label": "One step back", title: "One step back", onclick: () => step(-1) }, "‹");
  const on = make("button", { type: "button", "aria-label": "One step forward", title: "One step forward", onclick: () => step(1) }, "›");
  const slider = make("input", { type: "range", min: "0", step: "1", "aria-label": "Output step", oninput: () => jump(Number(slider.value)) });
  const element = make("div", { class: "player", role: "group", "aria-label": "Steps of the output" }, back, play, on, slider);

  function write() {
    const text = frame === null ? "Play" : "Pause";
    if (play.textContent !== text) play.textContent = text;
    const value = String(until === null ? count : Math.min(count, Math.floor(until) + 1));
    if (slider.value !== value) slider.value = value;
    slider.setAttribute("aria-valuetext", until === null ? "all steps" : `step ${value} of ${count}`);
    show(until, frame !== null);
  }

  function advance(time) {
    const passed = last === null ? 0 : Math.min(100, time - last) / STEP;
    last = time;
    until += passed;
    if (until >= count) stop(null);
    else {
      frame = requestAnimationFrame(advance);
      write();
    }
  }

  // Where motion is not wanted, a step appears whole and stays as long.
  function stand() {
    until = Math.floor(until) + 1;
    if (until >= count) return stop(null);
    frame = setTimeout(stand, 2 * STEP);
    write();
  }

  function stop(where = until === null ? null : Math.floor(until) + 0.999) {
    cancelAnimationFrame(frame);
    clearTimeout(frame);
    frame = last = null;
    until = where;
    write();
  }

  function toggle() {
    if (!count) return;
    if (frame !== null) return stop();
    if (still.matches) {
      until = until === null ? -1 : until;
      stand();
      return;
    }
    until = until === null ? 0 : Math.min(until, count - 0.001);
    frame = requestAnimationFrame(advance);
    write();
  }

  function step(by) {
    const now = until === null ? (by > 0 ? -1 : count) : Math.floor(until);
    jump(now + by + 1);
  }

  // So many rows said; none is the same as all.
  function jump(rows) {
    stop(rows >= count + 1 || rows <= 0 ? null : rows - 0.001);
  }

  // Another map or other units: a running step goes on if it still exists.
  function resize(rows) {
    count = rows;
    slider.max = String(rows);
    if (until !== null && until >= rows) stop(null);
    else write();
  }

  return { element, toggle, step, resize, stop: () => stop(null), get until() { return until; } };
}
