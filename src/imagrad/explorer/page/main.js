// The page: one state, what changes it, and what is asked then.

import { ask, get, latest, upload } from "/page/api.js";
import { drawBars, MOST } from "/page/bars.js";
import { floatsOf, fromBase64, toBase64 } from "/page/encode.js";
import { drawMap, drawScale, greyOf, largestOf, levelsTo, short, whenSchemeChanges } from "/page/maps.js";
import { showCorrupted, showCurve, showLatent, showPixel, showTrust } from "/page/panels.js";
import { paint, Picture } from "/page/picture.js";
import { figureOf, linkOf, saveJson, savePng, saveSvg, stateOf } from "/page/share.js";

const $ = (id) => document.getElementById(id);
const UNCHANGED = { down: 0, right: 0, level: 0 };
const state = {
  base: null, index: null, ...UNCHANGED, noise: "gaussian", seed: 0, method: "saliency", norm: "l2", kinks: "ad",
  beside: "", latent: null, pixel: null, span: "quantiles", percentage: 0, which: "most",
};
let about, picture, galleryStart = 0, shown = null, curve = null, polling = false;

function say(text) {
  $("said").textContent = text;
}

// What went wrong stays until the same goes right, or somebody changes the picture.
let wrong = null;

function problem(error, what = "asked") {
  wrong = error === null ? null : what;
  $("problem").hidden = error === null;
  $("problem").textContent = error === null ? "" : error.message;
}

const problemOf = (what) => (error) => problem(error, what);

function wentRight(what = "asked") {
  if (wrong === what) problem(null);
}

const quick = (name) => about.methods.find((method) => method.name === name).is_quick;

function choices(network = 0, method = state.method) {
  return { network, method, norm: state.norm, kinks: state.kinks, pixels: toBase64(picture.pixels) };
}

function besideChoices() {
  if (state.beside === "network:1") return choices(1);
  return state.beside ? choices(0, state.beside.slice("method:".length)) : null;
}

// --- the map and the code, live ---

const explain = latest(async ({ ended }, isStale) => {
  const first = choices();
  const second = besideChoices();
  const { beside } = state; // this and the picture may be others by the time of the answer
  const pixels = picture.pixels.slice();
  if (!ended && !quick(first.method)) return; // such a method waits for the end of the stroke
  const asks = (one) => (one && (ended || quick(one.method)) ? ask("explain", { ...one, certify: ended && one.method === "saliency" }) : null);
  const slow = setTimeout(() => ($("told").textContent = "Computing …"), 500);
  const [a, b] = await Promise.all([asks(first), asks(second)]).finally(() => clearTimeout(slow));
  wentRight();
  const old = shown?.beside === beside ? shown.b : null;
  shown = { a, b: beside ? (b ?? old) : null, beside, pixels, choices: first };
  draw();
  if (ended && !isStale()) await followUp();
}, (error) => {
  problem(error);
  $("maps").classList.toggle("old", shown !== null); // what stands there is that of an earlier picture, or choice
  $("told").textContent = shown ? "This is the last map that could be made." : "";
});

function mapsShown() {
  if (!shown) return [];
  const own = [[shown.a, titleOf(0, shown.choices.method)]];
  if (shown.b) own.push([shown.b, shown.beside === "network:1" ? titleOf(1, shown.choices.method) : titleOf(0, shown.beside.slice(7))]);
  const areAlike = own.length < 2 || own[0][0].units === own[1][0].units;
  return own.map(([found, title]) => {
    const scale = areAlike || !(found.largest > 0) ? 1 : found.largest;
    return { title, largest: found.largest / scale, values: Array.from(floatsOf(found.saliency), (value) => value / scale), areAlike };
  });
}

const titleOf = (network, method) => (about.networks.length > 1 ? `${about.networks[network].name}, ${method}` : method);

function unitsText(maps) {
  return maps[0].areAlike ? shown.a.units : "share of each map's largest value, as the two methods have units of their own";
}

function draw() {
  const maps = mapsShown();
  $("maps").classList.remove("old");
  const size = about.shape.slice(1);
  const levels = levelsTo(Math.max(...maps.map((map) => map.largest)));
  const outline = $("outline").checked ? greyOf(shown.pixels, about.shape) : null;
  $("figure-b").hidden = maps.length < 2;
  maps.forEach((map, k) => {
    const svg = $(k ? "map-b" : "map-a");
    drawMap(svg, map.values, size, { levels, outline, marked: state.pixel });
    const top = map.values.indexOf(largestOf(map.values));
    svg.setAttribute("aria-label", `Map by ${map.title}: largest ${short(map.largest)} at row ${Math.floor(top / size[1])}, column ${top % size[1]}`);
    $(k ? "caption-b" : "caption-a").textContent = `${map.title}; largest ${short(map.largest)}`;
  });
  drawMap($("peek"), maps[0].values, size, { levels, outline });
  drawScale($("scale"), levels, { label: "Scale of the map" });
  $("units").textContent = unitsText(maps);
  $("told").textContent = `${shown.a.milliseconds.toFixed(0)} ms by ${shown.a.engine}`;
  const code = { pressed: state.latent, chosen: chooseLatent, what: "value" };
  drawBars($("code"), shown.a.code, code);
  $("code-more").hidden = shown.a.code.length <= MOST;
  $("code-more").textContent = `The first ${MOST} of ${shown.a.code.length} latents.`;
  if (shown.a.reconstruction) paint($("reconstruction"), fromBase64(shown.a.reconstruction), about.shape);
  showTrust(about.networks[0], shown.a, shown.choices);
}

// --- what is asked beside it, once a stroke has ended ---

async function followUp() {
  await Promise.all([latentNow(), pixelNow(), corruptNow()]);
}

const latentNow = latest(async () => {
  $("latent-card").hidden = state.latent === null;
  if (state.latent === null) return;
  const { pixels } = choices();
  const found = await ask("latent", { pixels, latent: state.latent, kinks: state.kinks, span: state.span, certify: true });
  wentRight("latent");
  if (state.latent === found.latent) showLatent(found, fromBase64(pixels), about.shape);
}, problemOf("latent"));

const pixelNow = latest(async () => {
  $("pixel-card").hidden = state.pixel === null;
  if (state.pixel === null) return;
  const [row, column] = state.pixel;
  const found = await ask("pixel", { pixels: choices().pixels, row, column, kinks: state.kinks });
  wentRight("pixel");
  showPixel(found, state.latent, chooseLatent);
  say(`${$("pixel-title").textContent}. ${$("pixel-said").textContent}`);
}, problemOf("pixel"));

const corruptNow = latest(async () => {
  const asked = { ...choices(), certify: state.method === "saliency", percentage: state.percentage, which: state.which };
  showCorrupted(await ask("corrupt", asked), about.shape);
  wentRight("corrupt");
  if (curve) showCurve(curve, state.percentage, state.which);
}, problemOf("corrupt"));

async function pollCurve() {
  if (polling || curve?.state === "there" || curve?.state === "none") return;
  polling = true;
  try {
    for (;;) {
      curve = await get("/api/curve");
      showCurve(curve, state.percentage, state.which);
      if (curve.state !== "on its way") break;
      await new Promise((done) => setTimeout(done, 700));
    }
  } catch (error) {
    problem(error);
  }
  polling = false;
}

function chooseLatent(latent) {
  state.latent = state.latent === latent ? null : latent;
  for (const place of [$("code"), $("column")]) {
    [...place.children].forEach((button, k) => button.setAttribute("aria-pressed", String(k === state.latent)));
  }
  say(state.latent === null ? "No latent is chosen." : `Latent ${latent} is chosen.`);
  latentNow();
}

function choosePixel(row, column) {
  state.pixel = [row, column];
  if (shown) draw();
  pixelNow();
}

// --- changing the picture ---

const snapshot = () => ({ base: state.base, index: state.index, down: state.down, right: state.right, noise: state.noise, level: state.level, seed: state.seed });

function remember() {
  problem(null);
  picture.remember(snapshot());
  $("undo").disabled = false;
}

function pictureChanged(kind) {
  if (kind === "begin") {
    remember();
    Object.assign(state, UNCHANGED);
    fields();
    return;
  }
  Object.assign(state, { base: picture.pixels.slice(), index: null });
  if (kind === "end") markGallery();
  explain({ ended: kind === "end" });
}

function begin(base, index = null) {
  remember();
  Object.assign(state, { base: Uint8Array.from(base), index, ...UNCHANGED });
  apply();
}

const change = latest(async () => {
  if (!state.down && !state.right && !state.level) picture.set(state.base);
  else {
    const wanted = snapshot();
    const { base, down, right, noise, level, seed } = wanted;
    const found = await ask("change", { pixels: toBase64(base), down, right, noise, level, seed });
    if (Object.keys(wanted).some((key) => wanted[key] !== state[key])) return; // somebody draws on it already
    picture.set(fromBase64(found.pixels));
  }
  explain({ ended: true });
}, problem);

function apply() {
  fields();
  markGallery();
  return change();
}

async function openFile(file) {
  if (!file) return;
  try {
    if (file.size > about.upload_bytes) throw new Error(`A file may have ${about.upload_bytes / 2 ** 20} MiB; ${file.name} has more.`);
    const found = await upload(file, "pad", $("invert").checked);
    begin(fromBase64(found.pixels));
    say(`${file.name} is opened.`);
  } catch (error) {
    problem(error, "file");
  }
}

// --- the gallery ---

const GALLERY = 15;
let aPage = 1; // of large images one answer holds fewer

async function showGallery(start) {
  const found = await get(`/api/images?start=${start}&count=${GALLERY}`);
  galleryStart = start;
  aPage = Math.max(aPage, found.images.length);
  $("gallery").replaceChildren(
    ...found.images.map((image) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.index = image.index;
      button.title = image.title;
      button.setAttribute("aria-label", `Image ${image.index}: ${image.title}`);
      const canvas = document.createElement("canvas");
      paint(canvas, fromBase64(image.pixels), about.shape);
      button.append(canvas);
      button.addEventListener("click", () => begin(fromBase64(image.pixels), image.index));
      return button;
    }),
  );
  $("gallery-back").disabled = start === 0;
  $("gallery-on").disabled = start + found.images.length >= found.total;
  markGallery();
  return found;
}

function markGallery() {
  for (const button of $("gallery").children) button.setAttribute("aria-pressed", String(Number(button.dataset.index) === state.index));
}

// --- fields that show the state, and change it ---

function fields() {
  for (const name of ["method", "norm", "kinks", "beside", "noise", "level", "span", "percentage"]) $(name).value = state[name];
  document.querySelector(`input[name=which][value=${state.which}]`).checked = true;
  $("level-said").textContent = state.level.toFixed(2);
  $("percentage-said").textContent = `${state.percentage} %`;
  const moves = [[state.down, "down", "up"], [state.right, "right", "left"]].filter(([by]) => by);
  $("shifted").textContent = moves.map(([by, on, back]) => `${Math.abs(by)} ${by > 0 ? on : back}`).join(", ") || "not shifted";
  $("kinks").disabled = state.method !== "saliency";
}

function listenToChoices() {
  for (const name of ["method", "norm", "kinks", "beside"]) {
    $(name).addEventListener("change", () => {
      state[name] = $(name).value;
      if (name === "method") state.norm = about.methods.find((method) => method.name === state.method).norm;
      fields();
      explain({ ended: true });
    });
  }
  $("outline").addEventListener("change", () => shown && draw());
  $("span").addEventListener("change", () => {
    state.span = $("span").value;
    latentNow();
  });
  $("percentage").addEventListener("input", () => {
    state.percentage = Number($("percentage").value);
    fields();
    corruptNow();
    pollCurve();
  });
  for (const radio of document.querySelectorAll("input[name=which]")) {
    radio.addEventListener("change", () => {
      state.which = radio.value;
      corruptNow();
    });
  }
}

function listenToPicture() {
  $("clear").addEventListener("click", () => begin(new Uint8Array(picture.pixels.length)));
  $("undo").addEventListener("click", () => {
    Object.assign(state, picture.past.pop());
    $("undo").disabled = !picture.past.length;
    apply();
  });
  $("open").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    openFile($("file").files[0]);
    $("file").value = "";
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    openFile(event.dataTransfer.files[0]);
  });
  for (const button of document.querySelectorAll("[data-shift]")) {
    button.addEventListener("click", () => {
      const [down, right] = button.dataset.shift.split(",").map(Number);
      remember();
      state.down += down;
      state.right += right;
      apply();
    });
  }
  $("noise").addEventListener("change", () => {
    remember();
    state.noise = $("noise").value;
    apply();
  });
  let slides = false;
  $("level").addEventListener("input", () => {
    if (!slides) remember(); // one step back for the whole way of the slider
    slides = true;
    state.level = Number($("level").value);
    apply();
  });
  $("level").addEventListener("change", () => { slides = false; });
  $("redraw").addEventListener("click", () => {
    remember();
    state.seed += 1;
    apply();
  });
  $("gallery-back").addEventListener("click", () => showGallery(Math.max(0, galleryStart - aPage)).catch(problem));
  $("gallery-on").addEventListener("click", () => showGallery(galleryStart + aPage).catch(problem));
}

function listenToMaps() {
  const [, height, width] = about.shape;
  for (const svg of [$("map-a"), $("map-b")]) {
    svg.addEventListener("click", (event) => {
      const box = svg.getBoundingClientRect();
      const row = Math.floor(((event.clientY - box.top) / box.height) * height);
      const column = Math.floor(((event.clientX - box.left) / box.width) * width);
      choosePixel(Math.min(height - 1, Math.max(0, row)), Math.min(width - 1, Math.max(0, column)));
    });
    svg.addEventListener("keydown", (event) => {
      const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (event.key === "Enter" && state.pixel) pixelNow();
      if (!move || !shown) return;
      event.preventDefault();
      const [row, column] = state.pixel ?? [Math.floor(height / 2), Math.floor(width / 2)];
      state.pixel = [Math.min(height - 1, Math.max(0, row + move[0])), Math.min(width - 1, Math.max(0, column + move[1]))];
      draw();
      const value = floatsOf(shown.a.saliency)[state.pixel[0] * width + state.pixel[1]];
      say(`row ${state.pixel[0]}, column ${state.pixel[1]}: ${short(value)}`);
    });
  }
}

// --- sharing ---

function figure() {
  const outline = $("outline").checked ? greyOf(shown.pixels, about.shape) : null;
  const maps = mapsShown().map((map) => ({ ...map, title: `${map.title}; largest ${short(map.largest)}`, outline }));
  const words = `${unitsText(maps)}; norm ${shown.choices.norm}; imagrad ${about.version}`;
  return figureOf({ pixels: shown.pixels, shape: about.shape, maps, label: words });
}

function everything() {
  const tell = ({ saliency, reconstruction, ...rest }) => ({ ...rest, saliency: Array.from(floatsOf(saliency)) });
  const { base, ...chosen } = state;
  const { method, norm, kinks } = shown.choices; // those of the map, should the last one asked for have failed
  Object.assign(chosen, { method, norm, kinks, beside: shown.beside });
  return {
    imagrad: about.version, networks: about.networks.map((network) => network.name), data: about.data, shape: about.shape,
    state: chosen, pixels: Array.from(shown.pixels), first: tell(shown.a), second: shown.b && tell(shown.b),
  };
}

function listenToSharing() {
  const tried = (work) => async () => {
    try {
      if (shown) await work();
    } catch (error) {
      problem(error);
    }
  };
  $("share-link").addEventListener("click", tried(async () => {
    history.replaceState(null, "", await linkOf(state));
    try {
      await navigator.clipboard.writeText(location.href);
      say("The link is copied.");
      $("share-link").textContent = "Copied";
    } catch {
      say("The link is in the address bar.");
      $("share-link").textContent = "In the address bar";
    }
    setTimeout(() => ($("share-link").textContent = "Copy link"), 2500);
  }));
  $("save-svg").addEventListener("click", tried(() => saveSvg(figure())));
  $("save-png").addEventListener("click", tried(() => savePng(figure())));
  $("save-json").addEventListener("click", tried(() => saveJson(everything())));
  addEventListener("hashchange", restore);
}

async function restore() {
  const fragment = location.hash.slice(1);
  if (!fragment || document.getElementById(fragment)) return false; // a place on the page, such as "#picture"
  try {
    const given = await stateOf(location.hash, about);
    if (given.index !== undefined) {
      const found = await get(`/api/images?start=${given.index}&count=1`);
      given.base = fromBase64(found.images[0].pixels);
    }
    Object.assign(state, UNCHANGED, { index: null }, given);
    await apply();
    if (state.percentage > 0) pollCurve();
    return true;
  } catch (error) {
    problem(new Error(`The link could not be read: ${error.message}`), "link");
    return false;
  }
}

// --- the beginning ---

function fill(select, rows) {
  for (const [value, text] of rows) {
    const option = document.createElement("option");
    option.value = value;
    option.textContent = text;
    select.append(option);
  }
}

function introduce() {
  const [first, second] = about.networks;
  const [channels, height, width] = about.shape;
  const against = second ? ` and ${second.name}` : "";
  $("subject").textContent = `${first.name}${against}: ${channels === 3 ? "colour" : "grey"} ${height} × ${width} to ${first.latents} latents; images of ${about.data}`;
  $("version").textContent = `imagrad ${about.version}.`;
  fill($("noise"), about.noises.map((name) => [name, name]));
  fill($("method"), about.methods.map((method) => [method.name, method.name]));
  fill($("beside"), [...(second ? [["network:1", second.name]] : []), ...about.methods.map((method) => [`method:${method.name}`, method.name])]);
  $("colour-field").hidden = channels === 1;
  $("reconstruction-part").hidden = !first.has_decoder;
  $("no-decoder").hidden = first.has_decoder;
  $("no-decoder").textContent = "This network is known as an encoder alone: there is no reconstruction.";
  $("curve-said").textContent = about.can_measure_curve ? "Move the slider to see the curve of Fig. 11." : "";
  if (!about.can_measure_curve) pollCurve();
}

function brush() {
  const rubs = document.querySelector("input[name=tool]:checked").value === "rubber";
  const text = $("colour").value;
  const colour = about.shape[0] === 1 ? [255] : [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
  return { rubs, colour, radius: (Number($("width").value) * Math.min(about.shape[1], about.shape[2])) / 28 };
}

async function start() {
  try {
    about = await get("/api/about");
    introduce();
    picture = new Picture($("picture"), about.shape, { brush, changed: pictureChanged, say });
    state.base = picture.pixels.slice();
    listenToChoices();
    listenToPicture();
    listenToMaps();
    listenToSharing();
    if (about.networks[1]) state.beside = "network:1";
    const found = await showGallery(0);
    whenSchemeChanges(() => shown && draw());
    if (await restore()) return;
    if (found.images.length) Object.assign(state, { base: fromBase64(found.images[0].pixels), index: 0 });
    await apply();
  } catch (error) {
    problem(error);
  }
}

start();
