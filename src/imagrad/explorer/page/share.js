// The state as a link, and what is shown as a file.

import { packed, unpacked } from "/page/encode.js";
import { drawMap, levelsTo, ramp, colourAt, short } from "/page/maps.js";
import { paint } from "/page/picture.js";

const LINKED_BYTES = 3 * 64 * 64;
const KEPT = ["down", "right", "noise", "level", "seed", "method", "norm", "kinks", "beside", "latent", "pixel", "span", "percentage", "which"];

export async function linkOf(state) {
  const kept = Object.fromEntries(KEPT.map((key) => [key, state[key]]));
  if (state.index !== null) kept.index = state.index;
  else if (state.base.length <= LINKED_BYTES) kept.picture = await packed(state.base);
  else throw new Error("A picture of this size does not fit into a link; one of the data set does.");
  return `#${encodeURIComponent(JSON.stringify(kept))}`;
}

const isCount = (least, most) => (value) => Number.isInteger(value) && value >= least && value <= most;
const isAmong = (...values) => (value) => values.includes(value);

// What a link may say; whatever else it says is refused, as links come from anybody.
const checks = (about) => ({
  down: isCount(-4096, 4096),
  right: isCount(-4096, 4096),
  noise: isAmong(...about.noises),
  level: (value) => typeof value === "number" && value >= 0 && value <= 1,
  seed: isCount(0, 2 ** 31),
  method: isAmong(...about.methods.map((method) => method.name)),
  norm: isAmong("l2", "l1", "max"),
  kinks: isAmong("ad", "right", "left", "mean", "raise"),
  beside: isAmong("", ...(about.networks[1] ? ["network:1"] : []), ...about.methods.map((method) => `method:${method.name}`)),
  latent: (value) => value === null || isCount(0, about.networks[0].latents - 1)(value),
  pixel: (value) => value === null || (Array.isArray(value) && value.length === 2 && value.every((one, k) => isCount(0, about.shape[k + 1] - 1)(one))),
  span: isAmong("quantiles", "deviations"),
  percentage: (value) => typeof value === "number" && value >= 0 && value <= 50,
  which: isAmong("most", "least", "random"),
  index: isCount(0, about.images - 1),
});

export async function stateOf(fragment, about) {
  const given = JSON.parse(decodeURIComponent(fragment.slice(1)));
  const known = checks(about);
  const state = {};
  for (const [key, value] of Object.entries(given)) {
    if (key === "picture") continue;
    if (!Object.hasOwn(known, key) || !known[key](value)) throw new Error(`${key} cannot be ${JSON.stringify(value)} here.`);
    state[key] = value;
  }
  const size = about.shape[0] * about.shape[1] * about.shape[2];
  if (typeof given.picture === "string") {
    state.base = await unpacked(given.picture, size);
    if (state.base.length !== size) throw new Error("its picture has another size than the network takes.");
  } else if (state.index === undefined) throw new Error("it holds no picture.");
  return state;
}

function download(content, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

export const saveJson = (content) =>
  download(new Blob([JSON.stringify(content, null, 1)], { type: "application/json" }), "imagrad.json");

// The picture, its maps and their scale as one SVG, on white.
export function figureOf({ pixels, shape, maps, label }) {
  const [, height, width] = shape;
  const side = 300;
  const high = (side * height) / width;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const total = (maps.length + 1) * (side + 12) + 12;
  const bottom = high + 96;
  svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  svg.setAttribute("viewBox", `0 0 ${total} ${bottom}`);
  svg.setAttribute("width", total);
  svg.setAttribute("height", bottom);
  svg.setAttribute("font-family", "sans-serif");
  svg.setAttribute("font-size", 12);
  const add = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    svg.append(made);
    return made;
  };
  add("rect", { width: total, height: bottom, fill: "#fff" });
  const canvas = document.createElement("canvas");
  paint(canvas, pixels, shape);
  add("image", { href: canvas.toDataURL(), x: 12, y: 12, width: side, height: high, "image-rendering": "pixelated" });
  const largest = Math.max(...maps.map((map) => map.largest));
  const levels = levelsTo(largest);
  maps.forEach((map, k) => {
    const x = 12 + (k + 1) * (side + 12);
    const inner = add("svg", { x, y: 12, width: side, height: high });
    drawMap(inner, map.values, [height, width], { levels, outline: map.outline, scheme: "light" });
    add("rect", { x, y: 12, width: side, height: high, fill: "none", stroke: "#999" });
    add("text", { x, y: high + 30 }, map.title);
  });
  const stops = ramp("light").rising;
  levels.slice(0, -1).forEach((level, k) => {
    const x = 12 + k * 34;
    const fill = k === 0 ? stops[0] : colourAt(stops, (k + 0.5) / (levels.length - 1));
    add("rect", { x, y: high + 42, width: 34, height: 12, fill, stroke: "#999", "stroke-width": 0.3 });
    add("text", { x, y: high + 67, "font-size": 10 }, short(level));
  });
  add("text", { x: 12 + (levels.length - 1) * 34, y: high + 67, "font-size": 10 }, short(levels.at(-1)));
  add("text", { x: 12, y: high + 84 }, label);
  return new XMLSerializer().serializeToString(svg);
}

export const saveSvg = (text) => download(new Blob([text], { type: "image/svg+xml" }), "imagrad.svg");

export async function savePng(text) {
  const image = new Image();
  image.src = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = 2 * image.width;
  canvas.height = 2 * image.height;
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(image.src);
  download(await new Promise((done) => canvas.toBlob(done)), "imagrad.png");
}
