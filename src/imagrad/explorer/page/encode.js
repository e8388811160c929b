// Images and numbers as text: base64 for the server, compressed base64url for links.

export const toBase64 = (bytes) => {
  let text = "";
  for (let k = 0; k < bytes.length; k += 8192) text += String.fromCharCode(...bytes.subarray(k, k + 8192));
  return btoa(text);
};

export const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

export const floatsOf = (text) => {
  const view = new DataView(fromBase64(text).buffer);
  return Float32Array.from({ length: view.byteLength / 4 }, (_, k) => view.getFloat32(4 * k, true));
};

const through = async (bytes, stream) =>
  new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());

const urlSafe = (text) => text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

export const packed = async (bytes) => urlSafe(toBase64(await through(bytes, new CompressionStream("deflate-raw"))));

// A link is anybody's: what it unfolds to is read no further than `most` bytes.
export const unpacked = async (text, most) => {
  const bytes = fromBase64(text.replaceAll("-", "+").replaceAll("_", "/"));
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const found = new Uint8Array(most);
  for (let length = 0; ; ) {
    const { done, value } = await reader.read();
    if (done) return found.slice(0, length);
    if (length + value.length > most) throw new Error("the link holds more than an image.");
    found.set(value, length);
    length += value.length;
  }
};
