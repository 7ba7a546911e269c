// PNG: pictures are read as Python reads them, label maps are written. Other pictures are read by the browser.
import { deflate, inflate } from './bytes.mjs';
import { refuse } from './errors.mjs';

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const CHANNELS = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }; // by the type of colour
const INTERLACED = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

export const isPng = (bytes) => SIGNATURE.every((byte, k) => bytes[k] === byte);

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});
function checksum(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

function chunks(bytes) {
  const v = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), found = {};
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = v.getUint32(at), type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (at + 12 + length > bytes.length) refuse('is cut off');
    if (checksum(bytes.subarray(at + 4, at + 8 + length)) !== v.getUint32(at + 8 + length)) refuse(`is damaged: the checksum of its part ${type} is wrong`);
    (found[type] ??= []).push(bytes.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  if (!found.IHDR || !found.IDAT || !found.IEND) refuse('is cut off');
  return found;
}

// { dims, channels, data, affine }: data is column by column within a row, channels last.
export async function readPng(bytes) {
  const found = chunks(bytes), head = new DataView(found.IHDR[0].buffer, found.IHDR[0].byteOffset, 13);
  const [width, height, depth, colour, interlace] = [head.getUint32(0), head.getUint32(4), head.getUint8(8), head.getUint8(9), head.getUint8(12)];
  if (depth === 16 && colour !== 0) refuse('has 16 bits a colour: save it with 8 bits');
  const raw = await inflate(new Uint8Array(await new Blob(found.IDAT).arrayBuffer()));
  const samples = unpacked(raw, width, height, depth, CHANNELS[colour], interlace);
  const scaled = depth < 8 && colour === 0 ? samples.map((x) => (x * 255) / (2 ** depth - 1)) : samples;
  const picture = colour === 3 ? ofPalette(scaled, found) : { samples: scaled, count: CHANNELS[colour] };
  if (colour === 0 && found.tRNS) refuse('is transparent in parts: save it without an alpha channel');
  return pictureOf(width, height, picture.samples, picture.count);
}

function unpacked(raw, width, height, depth, count, interlace) {
  const samples = new (depth === 16 ? Uint16Array : Uint8Array)(width * height * count);
  let at = 0;
  for (const [x0, y0, dx, dy] of interlace ? INTERLACED : [[0, 0, 1, 1]]) {
    const columns = Math.ceil((width - x0) / dx), rows = Math.ceil((height - y0) / dy);
    if (columns <= 0 || rows <= 0) continue;
    const length = Math.ceil((columns * count * depth) / 8), step = Math.max(1, (count * depth) >> 3);
    let before = new Uint8Array(length);
    for (let y = 0; y < rows; y++) {
      if (at + 1 + length > raw.length) refuse('is cut off');
      const line = unfiltered(raw[at], raw.slice(at + 1, at + 1 + length), before, step);
      at += 1 + length;
      for (let x = 0; x < columns; x++)
        for (let c = 0; c < count; c++) samples[((y0 + y * dy) * width + x0 + x * dx) * count + c] = sample(line, x * count + c, depth);
      before = line;
    }
  }
  return samples;
}

function sample(line, index, depth) {
  if (depth === 16) return (line[2 * index] << 8) | line[2 * index + 1];
  if (depth === 8) return line[index];
  const bit = index * depth;
  return (line[bit >> 3] >> (8 - depth - (bit & 7))) & (2 ** depth - 1);
}

function unfiltered(filter, line, before, step) {
  for (let i = 0; i < line.length; i++) {
    const a = i >= step ? line[i - step] : 0, b = before[i], c = i >= step ? before[i - step] : 0;
    if (filter === 1) line[i] += a;
    else if (filter === 2) line[i] += b;
    else if (filter === 3) line[i] += (a + b) >> 1;
    else if (filter === 4) {
      const p = a + b - c, [pa, pb, pc] = [a, b, c].map((x) => Math.abs(p - x));
      line[i] += pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
    }
  }
  return line;
}

function ofPalette(samples, found) {
  const palette = found.PLTE?.[0] ?? refuse('has no palette'), alpha = found.tRNS?.[0] ?? [];
  const colours = new Uint8Array(samples.length * 4);
  samples.forEach((index, i) => {
    for (let c = 0; c < 3; c++) colours[4 * i + c] = palette[3 * index + c];
    colours[4 * i + 3] = alpha[index] ?? 255;
  });
  return { samples: colours, count: 4 };
}

// From the samples of the pixels, row by row: three equal channels are grey, an opaque alpha channel is left out.
export function pictureOf(width, height, samples, count) {
  const size = width * height, hasAlpha = count === 2 || count === 4, colours = hasAlpha ? count - 1 : count;
  let grey = true;
  for (let i = 0; i < size; i++) {
    if (hasAlpha && samples[i * count + colours] !== 255) refuse('is transparent in parts: save it without an alpha channel');
    for (let c = 1; c < colours; c++) if (samples[i * count + c] !== samples[i * count]) grey = false;
  }
  const channels = grey ? 1 : colours, data = new samples.constructor(size * channels);
  for (let c = 0; c < channels; c++) for (let i = 0; i < size; i++) data[c * size + i] = samples[i * count + c];
  // Rows run downwards: pixels are 1 mm wide.
  return { dims: [width, height, 1], rank: 2, channels, data, affine: [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], picture: true };
}

// Labels times a factor, row by row, as an 8-bit grey PNG.
export async function writePng(image, labels, white) {
  const [width, height] = image.dims, raw = new Uint8Array((width + 1) * height);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) raw[y * (width + 1) + 1 + x] = labels[y * width + x] * white;
  const head = new Uint8Array(13), v = new DataView(head.buffer);
  v.setUint32(0, width); v.setUint32(4, height); v.setUint8(8, 8);
  const parts = [Uint8Array.from(SIGNATURE)];
  for (const [type, content] of [['IHDR', head], ['IDAT', await deflate(raw)], ['IEND', new Uint8Array()]]) {
    const part = new Uint8Array(12 + content.length), w = new DataView(part.buffer);
    w.setUint32(0, content.length);
    part.set([...type].map((letter) => letter.charCodeAt(0)), 4);
    part.set(content, 8);
    w.setUint32(8 + content.length, checksum(part.subarray(4, 8 + content.length)));
    parts.push(part);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}
