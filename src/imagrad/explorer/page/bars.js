// One bar a latent; each is a button.

export const MOST = 512;
const TOP = 58; // pixels that bars may take; the number stands below

export function drawBars(place, values, { pressed = null, chosen, what }) {
  const shown = Array.from(values).slice(0, MOST);
  if (place.childElementCount !== shown.length) build(place, shown.length, chosen);
  const high = Math.max(0, ...shown);
  const low = Math.min(0, ...shown);
  const scale = high === low ? 0 : TOP / (high - low);
  const zero = 13 - low * scale;
  place.style.setProperty("--zero", `${zero}px`);
  shown.forEach((value, k) => {
    const button = place.children[k];
    const bar = button.firstChild;
    bar.style.height = `${Math.max(1, Math.abs(value) * scale)}px`;
    bar.style.bottom = `${value < 0 ? zero + value * scale : zero}px`;
    bar.className = value < 0 ? "low" : "";
    button.setAttribute("aria-label", `latent ${k}: ${what} ${Number(value.toPrecision(3))}`);
    button.title = button.getAttribute("aria-label");
    button.setAttribute("aria-pressed", String(k === pressed));
  });
}

function build(place, count, chosen) {
  place.replaceChildren(
    ...Array.from({ length: count }, (_, k) => {
      const button = document.createElement("button");
      button.type = "button";
      button.tabIndex = k === 0 ? 0 : -1;
      const number = document.createElement("b");
      number.textContent = k;
      button.append(document.createElement("i"), number);
      button.addEventListener("click", () => chosen(k));
      button.addEventListener("focus", () => {
        for (const other of place.children) other.tabIndex = other === button ? 0 : -1;
      });
      return button;
    }),
  );
  if (place.dataset.keys) return;
  place.dataset.keys = "arrows";
  place.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const here = [...place.children].indexOf(document.activeElement);
    place.children[Math.min(place.children.length - 1, Math.max(0, here + step))].focus();
  });
}
