// What is shown of a latent, a pixel, flipped pixels, and trust.

import { drawBars } from "/page/bars.js";
import { floatsOf, fromBase64 } from "/page/encode.js";
import { drawMap, drawScale, greyOf, levelsTo, short } from "/page/maps.js";
import { paint } from "/page/picture.js";

const $ = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(share > 0.1 ? 0 : 1)} %`;

function paragraph(text, parent) {
  const made = document.createElement("p");
  made.textContent = text;
  parent.append(made);
  return made;
}

export function showLatent(found, pixels, shape) {
  const size = shape.slice(1);
  const levels = levelsTo(found.largest);
  $("latent-card").hidden = false;
  $("latent-title").textContent = `Latent ${found.latent}`;
  const map = { levels, signed: true, outline: greyOf(pixels, shape) };
  drawMap($("latent-map"), Array.from(floatsOf(found.gradient)), size, map);
  const label = `Gradient of latent ${found.latent}`;
  $("latent-map").setAttribute("aria-label", `${label}; largest ${short(found.largest)}`);
  drawScale($("latent-scale"), levels, { signed: true, label });
  $("latent-said").textContent =
    `Value ${short(found.value)}. Red: a brighter pixel raises it; blue: lowers it (${found.units}). ` +
    (found.certificate ? `Certificate: ${found.certificate.sentence}` : "");
  $("traversal").replaceChildren(...found.steps.map((step) => stepFigure(step, found.latent, shape)));
  $("no-traversal").hidden = found.no_traversal === null;
  $("no-traversal").textContent = found.no_traversal ?? "";
}

function stepFigure(step, latent, shape) {
  const figure = document.createElement("figure");
  const canvas = document.createElement("canvas");
  canvas.className = "plate";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Decoded with latent ${latent} at ${short(step.value)}`);
  paint(canvas, fromBase64(step.pixels), shape);
  const caption = document.createElement("figcaption");
  caption.textContent = short(step.value);
  figure.append(canvas, caption);
  return figure;
}

export function showPixel(found, pressed, chosen) {
  $("pixel-card").hidden = false;
  $("pixel-title").textContent = `Pixel at row ${found.row}, column ${found.column}`;
  const moves = found.strongest.slice(0, 3).filter((k) => found.derivatives[k] !== 0);
  const told = moves.map((k) => `latent ${k} (${short(found.derivatives[k])})`).join(", ");
  $("pixel-said").textContent = moves.length ? `It moves most: ${told}.` : "It moves no latent at all.";
  drawBars($("column"), found.derivatives, { pressed, chosen, what: "moves by" });
}

export function showCorrupted(found, shape) {
  paint($("corrupted"), fromBase64(found.pixels), shape);
  $("corrupted").setAttribute("aria-label", `Picture with ${found.flipped} pixels flipped`);
  const verdict = $("verdict");
  verdict.replaceChildren();
  if (found.before === null) {
    verdict.append("No classifier: start with --classifier to see its verdict. ");
  } else {
    const [before, after] = [found.before[0], found.after[0]];
    verdict.append(`Classifier: ${before.label} (${percent(before.probability)}) → `);
    const now = document.createElement("strong");
    now.className = before.label === after.label ? "" : "changed";
    now.textContent = `${after.label} (${percent(after.probability)})`;
    verdict.append(now, ". ");
  }
  verdict.append(`${found.flipped} pixels flipped; the code moved by ${percent(found.code_moved)} of its length.`);
}

const COLOURS = { most: "#d55e00", least: "#0072b2", random: "#8a8a8a" };
const FRAME = { left: 38, right: 60, top: 10, bottom: 30, width: 440, height: 220 };

const xOf = (percentage) => FRAME.left + (percentage / 50) * (FRAME.width - FRAME.left - FRAME.right);
const yOf = (accuracy) => FRAME.top + (1 - accuracy) * (FRAME.height - FRAME.top - FRAME.bottom);

function between(xs, ys, x) {
  const k = xs.findIndex((value) => value >= x);
  if (k < 0 || ys[k] === undefined) return null;
  return k === 0 ? ys[0] : ys[k - 1] + ((x - xs[k - 1]) / (xs[k] - xs[k - 1])) * (ys[k] - ys[k - 1]);
}

export function showCurve(found, percentage, which) {
  const svg = $("curve");
  svg.toggleAttribute("hidden", !Object.keys(found.accuracies).length);
  svg.setAttribute("viewBox", `0 0 ${FRAME.width} ${FRAME.height}`);
  svg.replaceChildren();
  const add = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    svg.append(made);
  };
  for (const share of [0, 0.5, 1]) {
    add("line", { class: "axis", x1: xOf(0), x2: xOf(50), y1: yOf(share), y2: yOf(share) });
    add("text", { x: xOf(0) - 5, y: yOf(share) + 4, "text-anchor": "end" }, `${100 * share}%`);
  }
  for (const x of [0, 10, 20, 30, 40, 50]) add("text", { x: xOf(x), y: yOf(0) + 14, "text-anchor": "middle" }, x);
  add("text", { x: xOf(25), y: FRAME.height - 3, "text-anchor": "middle" }, "% of pixels flipped; accuracy of the classifier");
  const ends = Object.entries(found.accuracies).map(([side, values]) => [side, yOf(values.at(-1)), values.length - 1]);
  ends.sort((one, other) => one[1] - other[1]);
  ends.forEach((end, k) => { if (k) end[1] = Math.max(end[1], ends[k - 1][1] + 12); });
  for (const [side, y, last] of ends) {
    const points = found.accuracies[side].map((value, k) => `${xOf(found.percentages[k])},${yOf(value)}`).join(" ");
    add("polyline", { points, fill: "none", stroke: COLOURS[side], "stroke-width": side === which ? 2.5 : 1.3 });
    add("text", { x: xOf(found.percentages[last]) + 5, y: y + 4 }, side);
  }
  const here = found.accuracies[which] && between(found.percentages, found.accuracies[which], percentage);
  if (here !== null && here !== undefined) {
    add("circle", { cx: xOf(percentage), cy: yOf(here), r: 5, fill: COLOURS[which], stroke: "#fff", "stroke-width": 1.5 });
  }
  const where =
    here === null || here === undefined
      ? ""
      : `With ${percentage} % flipped (${which}) the classifier is right about ${percent(here)} of the images. `;
  $("curve-said").textContent = found.state === "there" ? `${where}The curve (Fig. 11): ${found.text}.` : found.text;
  if (found.state === "on its way") $("curve-said").textContent += ` ${percent(found.done)} done.`;
  svg.setAttribute("aria-label", `Accuracy against the share of flipped pixels. ${where}`);
}

const AT_KINKS = { ad: "autograd’s choice", right: "that to the right", left: "that to the left", mean: "the mean of both sides" };

export function showTrust(network, found, { method, kinks }) {
  const place = $("trust");
  place.replaceChildren();
  if (found.certificate) {
    paragraph(`Certificate: ${found.certificate.sentence}`, place);
    details("The certificate in full", found.certificate.text, place);
  } else if (method === "saliency") {
    paragraph("Certificate: made when the pen is lifted.", place);
  } else {
    paragraph(`${found.units}: only saliency has a certificate; other methods are no derivatives that could be computed anew.`, place);
  }
  for (const [operation, count] of Object.entries(found.ties)) {
    paragraph(`${operation} stands exactly at its kink ${count} times; there the derivative is ${AT_KINKS[kinks]}.`, place);
  }
  for (const finding of found.findings) paragraph(`Self-test of the method (${finding.kind}): ${finding.text}`, place);
  for (const finding of network.findings) paragraph(`Preflight (${finding.kind}): ${finding.text}`, place);
  if (!network.findings.length) paragraph("Preflight: nothing was found that makes derivatives doubtful.", place);
  details("What the preflight looked for", network.preflight, place);
  for (const note of network.notes) paragraph(`Note: ${note}`, place);
}

function details(title, text, parent) {
  const made = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = title;
  const full = document.createElement("pre");
  full.textContent = text;
  made.append(summary, full);
  parent.append(made);
}
