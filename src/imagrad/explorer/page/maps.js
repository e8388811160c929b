// Maps as filled contours: levels, colours, and the scale beside them.
/* global d3 */

const RAMPS = {
  light: { rising: ["#ffffff", "#fdd0b8", "#f4694b", "#c4161c", "#67000d"], falling: ["#ffffff", "#b8d4ea", "#4393c3", "#1f5fa0", "#08306b"] },
  dark: { rising: ["#17171a", "#54201d", "#b3261e", "#f4694b", "#fdd0b8"], falling: ["#17171a", "#16324f", "#2a6aa8", "#6aa9e6", "#cfe4f7"] },
};
const SVG = "http://www.w3.org/2000/svg";
const dark = matchMedia("(prefers-color-scheme: dark)");

export const whenSchemeChanges = (redraw) => dark.addEventListener("change", redraw);

export const ramp = (scheme) => RAMPS[scheme ?? (dark.matches ? "dark" : "light")];

export function colourAt(stops, share) {
  const place = Math.min(0.999999, Math.max(0, share)) * (stops.length - 1);
  const k = Math.floor(place);
  const [one, other] = [stops[k], stops[k + 1]].map((text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16)));
  return `rgb(${one.map((value, c) => Math.round(value + (place - k) * (other[c] - value))).join(", ")})`;
}

// Round levels from 0 to at least the largest value, some ten of them.
export function levelsTo(largest) {
  if (!(largest > 0)) return Array.from({ length: 11 }, (_, k) => k / 10);
  const unit = 10 ** Math.floor(Math.log10(largest / 10));
  const step = [1, 2, 2.5, 5, 10].find((value) => largest / (value * unit) <= 12) * unit;
  return Array.from({ length: Math.ceil(largest / step - 1e-9) + 1 }, (_, k) => k * step);
}

// Math.max(...) of a large image is more arguments than a function may have.
export const largestOf = (values) => values.reduce((one, other) => Math.max(one, other), -Infinity);

export const short = (value) => (value === 0 ? "0" : Number(value.toPrecision(3)).toString());

function element(name, attributes, parent) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

const pathOf = ({ coordinates }) =>
  coordinates
    .map((rings) => rings.map((ring) => `M${ring.map(([x, y]) => `${x.toFixed(2)},${y.toFixed(2)}`).join("L")}Z`).join(""))
    .join("");

function bands(svg, values, size, levels, stops) {
  const contours = d3.contours().size(size).thresholds(levels.slice(1, -1))(values);
  contours.forEach((contour, k) => {
    if (!contour.coordinates.length) return;
    element("path", { d: pathOf(contour), fill: colourAt(stops, (k + 1.5) / (levels.length - 1)), "fill-rule": "evenodd" }, svg);
  });
}

// Draws values (height, width) into an SVG; `signed` ones blue below zero; the outline is that of a picture.
export function drawMap(svg, values, [height, width], { levels, signed = false, outline = null, marked = null, scheme }) {
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const { rising, falling } = ramp(scheme);
  element("rect", { width, height, fill: rising[0] }, svg);
  bands(svg, values, [width, height], levels, rising);
  if (signed) bands(svg, values.map((value) => -value), [width, height], levels, falling);
  if (outline !== null) {
    const [contour] = d3.contours().size([width, height]).thresholds([127.5])(outline);
    const ink = rising === RAMPS.dark.rising ? "#ffffff" : "#000000";
    const stroke = { fill: "none", stroke: ink, "stroke-opacity": 0.55, "stroke-width": width / 220 };
    element("path", { d: pathOf(contour), ...stroke }, svg);
  }
  if (marked !== null) {
    const [row, column] = marked;
    const frame = { x: column, y: row, width: 1, height: 1, fill: "none", "stroke-width": Math.max(width / 140, 0.12) };
    element("rect", { ...frame, stroke: "#0b5cad", class: "marker" }, svg);
  }
}

export function drawScale(place, levels, { signed = false, label }) {
  place.replaceChildren();
  place.setAttribute("aria-label", `${label}: colours from ${signed ? short(-levels.at(-1)) : "0"} to ${short(levels.at(-1))}`);
  const { rising, falling } = ramp();
  const count = levels.length - 1;
  const rows = levels.slice(0, -1).map((level, k) => [level, colourAt(rising, (k + 0.5) / count)]);
  rows[0][1] = rising[0];
  const below = signed ? levels.slice(1).map((level, k) => [-level, k === 0 ? falling[0] : colourAt(falling, (k + 0.5) / count)]).reverse() : [];
  const all = [...below, ...rows];
  const letters = Math.max(...all.map(([level]) => short(level).length));
  const every = Math.ceil((all.length * (6.5 * letters + 8)) / (place.clientWidth || 400)); // as many as have room
  all.forEach(([level, colour], k) => {
    const box = document.createElement("span");
    box.style.background = colour;
    const distance = Math.abs(k - below.length);
    if (distance % every === 0 && k < all.length - 1) box.append(labelled(level));
    if (k === all.length - 1) box.append(labelled(levels.at(-1), "last"));
    place.append(box);
  });
}

function labelled(value, kind) {
  const text = document.createElement("em");
  text.textContent = short(value);
  if (kind) text.className = kind;
  return text;
}

// The luminance of a picture, for its outline.
export function greyOf(pixels, [channels, height, width]) {
  if (channels === 1) return Array.from(pixels);
  const size = height * width;
  return Array.from({ length: size }, (_, k) => 0.299 * pixels[k] + 0.587 * pixels[size + k] + 0.114 * pixels[2 * size + k]);
}
