// Every layer and head, small: a strip of heads for each layer, and at the edges the means over a strip.
import { make } from "./dom.js";
import { tokensOf } from "./numbers.js";

// So many pixels has a weight of a map in the strips.
export const pixelOf = ({ S, T }) => Math.max(1, Math.min(4, Math.floor(84 / Math.max(S, T, 1))));

export function heads(map, state, choose) {
  const pixel = pixelOf(map);
  const all = make("div", { class: "all", tabIndex: -1 });
  const thumbs = [];
  const button = (layer, head, name, ...content) => {
    const pressed = state.layer === layer && state.head === head;
    const back = layer !== null && head !== null;
    return make("button", {
      type: "button", "aria-pressed": String(pressed), "aria-label": name, title: name, class: content.length && typeof content[0] === "string" ? "name" : "thumb",
      onclick: () => (pressed && back ? choose(null, null) : choose(layer, head)),
    }, ...content);
  };
  all.style.gridTemplateColumns = `max-content repeat(${map.H}, max-content)`;
  all.append(button(null, null, "Mean of all layers and heads", "mean"));
  for (let h = 0; h < map.H; h++) all.append(button(null, h, `Head ${h + 1}, mean of layers`, map.H > 6 ? String(h + 1) : `head ${h + 1}`));
  for (let l = 0; l < map.L; l++) {
    all.append(button(l, null, `Layer ${map.layers[l]}, mean of heads`, /^\d+$/.test(map.layers[l]) ? `layer ${map.layers[l]}` : map.layers[l]));
    for (let h = 0; h < map.H; h++) {
      const canvas = make("canvas", {});
      thumbs.push({ canvas, layer: l, head: h });
      all.append(button(l, h, `Layer ${map.layers[l]}, head ${h + 1}`, make("span", { class: "shot" }, canvas, make("i"))));
    }
  }
  const element = make("section", { class: "heads", "aria-label": "Layers and heads" }, make("h2", {}, "Layers and heads"), all);

  // The buttons stay when the weights change, so that none vanishes under a finger.
  function repaint(next, colours) {
    for (const { canvas, layer, head } of thumbs) {
      const { S, T } = next;
      [canvas.width, canvas.height] = [Math.max(1, S), Math.max(1, T)];
      canvas.style.cssText = `width:${S * pixel}px;height:${T * pixel}px;transform:scaleX(${next.rtl ? -1 : 1})`;
      if (!S || !T) continue;
      const picture = new ImageData(S, T);
      tokensOf(next, layer, head).values.forEach((weight, i) => picture.data.set([...colours.ramp(weight), 255], 4 * i));
      canvas.getContext("2d").putImageData(picture, 0, 0);
    }
  }

  // The step that is being said, in each of them: a line where its tokens are.
  function reveal(tokens) {
    all.classList.toggle("stepping", tokens !== null);
    if (tokens === null) return;
    all.style.setProperty("--top", `${tokens[0] * pixel}px`);
    all.style.setProperty("--high", `${Math.max(2, (tokens[1] - tokens[0]) * pixel)}px`);
  }
  return { element, repaint, reveal };
}
