// The picture that is drawn on: its numbers, a brush, the keyboard, and undo.

const UNDO_BYTES = 8e6;

export function paint(canvas, pixels, [channels, height, width]) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const size = width * height;
  for (let k = 0; k < size; k++) {
    for (let c = 0; c < 3; c++) image.data[4 * k + c] = pixels[(channels === 1 ? 0 : c) * size + k];
    image.data[4 * k + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

export class Picture {
  constructor(canvas, shape, { brush, changed, say }) {
    Object.assign(this, { canvas, shape, brush, changed, say });
    const [channels, height, width] = shape;
    this.pixels = new Uint8Array(channels * height * width);
    this.cursor = [Math.floor(height / 2), Math.floor(width / 2)];
    this.showsCursor = false;
    this.past = [];
    this.listen();
    this.show();
  }

  get isEmpty() {
    return this.pixels.every((value) => value === 0);
  }

  set(pixels) {
    this.pixels = Uint8Array.from(pixels);
    this.show();
  }

  remember(state) {
    this.past.push(state);
    const most = Math.max(1, Math.min(50, Math.floor(UNDO_BYTES / this.pixels.length)));
    if (this.past.length > most) this.past.shift();
  }

  show() {
    paint(this.canvas, this.pixels, this.shape);
    if (!this.showsCursor) return;
    const context = this.canvas.getContext("2d");
    context.fillStyle = "rgba(255, 90, 60, .75)";
    context.fillRect(this.cursor[1], this.cursor[0], 1, 1);
  }

  // A disc with a soft edge at (row, column), in pixels, whose centres are whole numbers.
  dab(row, column) {
    const [channels, height, width] = this.shape;
    const { radius, colour, rubs } = this.brush();
    const reach = Math.ceil(radius + 1);
    for (let y = Math.max(0, Math.floor(row) - reach); y <= Math.min(height - 1, Math.ceil(row) + reach); y++) {
      for (let x = Math.max(0, Math.floor(column) - reach); x <= Math.min(width - 1, Math.ceil(column) + reach); x++) {
        const cover = Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(y - row, x - column)));
        for (let c = 0; c < channels; c++) {
          const place = (c * height + y) * width + x;
          const ink = rubs ? 0 : colour[channels === 1 ? 0 : c];
          const old = this.pixels[place];
          const mixed = Math.round(old + cover * (ink - old));
          this.pixels[place] = channels === 1 && !rubs ? Math.max(old, mixed) : mixed;
        }
      }
    }
  }

  line([row, column], [toRow, toColumn]) {
    const steps = Math.max(1, Math.ceil(2 * Math.hypot(toRow - row, toColumn - column)));
    for (let k = 1; k <= steps; k++) this.dab(row + ((toRow - row) * k) / steps, column + ((toColumn - column) * k) / steps);
  }

  placeOf(event) {
    const box = this.canvas.getBoundingClientRect();
    const [, height, width] = this.shape;
    return [((event.clientY - box.top) / box.height) * height - 0.5, ((event.clientX - box.left) / box.width) * width - 0.5];
  }

  listen() {
    let last = null;
    let pointer = null;
    this.canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || last !== null) return; // a second finger draws nothing
      pointer = event.pointerId;
      this.canvas.setPointerCapture(pointer);
      this.showsCursor = false;
      this.changed("begin");
      last = this.placeOf(event);
      this.dab(...last);
      this.show();
      this.changed("stroke");
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (last === null || event.pointerId !== pointer) return;
      for (const one of event.getCoalescedEvents?.() ?? [event]) {
        const place = this.placeOf(one);
        this.line(last, place);
        last = place;
      }
      this.show();
      this.changed("stroke");
    });
    for (const name of ["pointerup", "pointercancel"]) {
      this.canvas.addEventListener(name, (event) => {
        if (last === null || event.pointerId !== pointer) return;
        last = null;
        this.changed("end");
      });
    }
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("blur", () => {
      this.showsCursor = false;
      this.show();
    });
  }

  key(event) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const move = moves[event.key];
    const rubs = event.key === "Delete" || event.key === "Backspace";
    if (!move && !rubs && event.key !== " ") return;
    event.preventDefault();
    const [, height, width] = this.shape;
    const before = [...this.cursor];
    this.showsCursor = true;
    if (move) {
      this.cursor = [Math.min(height - 1, Math.max(0, before[0] + move[0])), Math.min(width - 1, Math.max(0, before[1] + move[1]))];
    }
    if (!move || event.shiftKey) {
      this.changed("begin");
      if (rubs) this.rubOut();
      else this.line(before, this.cursor);
      this.show();
      this.changed("end");
    }
    this.show();
    this.say(`row ${this.cursor[0]}, column ${this.cursor[1]}: ${this.brightness()} %`);
  }

  rubOut() {
    const [channels, height, width] = this.shape;
    for (let c = 0; c < channels; c++) this.pixels[(c * height + this.cursor[0]) * width + this.cursor[1]] = 0;
  }

  brightness() {
    const [channels, height, width] = this.shape;
    const place = this.cursor[0] * width + this.cursor[1];
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += this.pixels[c * height * width + place];
    return Math.round(sum / channels / 2.55);
  }
}
