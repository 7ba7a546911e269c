// NIfTI-1 and NIfTI-2: images are read, label maps are written in their place.
import { values } from './bytes.mjs';
import { refuse } from './errors.mjs';

const TYPES = {
  2: Uint8Array, 4: Int16Array, 8: Int32Array, 16: Float32Array, 64: Float64Array, 256: Int8Array, 512: Uint16Array,
  768: Uint32Array, 1024: BigInt64Array, 1280: BigUint64Array,
};
const MM = { 1: 1000, 3: 0.001 }; // a unit of length in mm by its code: metre, micrometre; all others count as mm
// Where the fields of a header are, by version: offset and kind (s: 16 bits, i: 32 bits, l: 64 bits, f, d), count.
const FIELDS = {
  1: {
    size: 348, dim: [40, 's', 8], pixdim: [76, 'f', 8], offset: [108, 'f'], slope: [112, 'f'], inter: [116, 'f'],
    type: [70, 's'], bits: [72, 's'], units: [123, 'b'], qform: [252, 's'], sform: [254, 's'], quatern: [256, 'f', 6],
    rows: [280, 'f', 12], intent: [68, 's'], intents: [56, 'f', 3], calibration: [124, 'f', 2], magic: [344, 'n+1\0'],
    texts: [[148, 80], [228, 24], [328, 16]],
    others: [[74, 's'], [120, 's'], [132, 'f', 2], [32, 'i'], [36, 's'], [140, 'i', 2], [0, 'i']],
  },
  2: {
    size: 540, dim: [16, 'l', 8], pixdim: [104, 'd', 8], offset: [168, 'l'], slope: [176, 'd'], inter: [184, 'd'],
    type: [12, 's'], bits: [14, 's'], units: [500, 'i'], qform: [344, 'i'], sform: [348, 'i'], quatern: [352, 'd', 6],
    rows: [400, 'd', 12], intent: [504, 'i'], intents: [80, 'd', 3], calibration: [192, 'd', 2], magic: [4, 'n+2\0\r\n\x1a\n'],
    texts: [[240, 80], [320, 24], [508, 16]],
    others: [[208, 'd', 2], [224, 'l', 2], [496, 'i'], [0, 'i']],
  },
};
const KINDS = {
  b: [1, (v, o) => v.getUint8(o), (v, o, x) => v.setUint8(o, x)],
  s: [2, (v, o, le) => v.getInt16(o, le), (v, o, x) => v.setInt16(o, x, true)],
  i: [4, (v, o, le) => v.getInt32(o, le), (v, o, x) => v.setInt32(o, x, true)],
  l: [8, (v, o, le) => Number(v.getBigInt64(o, le)), (v, o, x) => v.setBigInt64(o, BigInt(x), true)],
  f: [4, (v, o, le) => v.getFloat32(o, le), (v, o, x) => v.setFloat32(o, x, true)],
  d: [8, (v, o, le) => v.getFloat64(o, le), (v, o, x) => v.setFloat64(o, x, true)],
};
const view = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export function isNifti(bytes) {
  if (bytes.length < 348) return false;
  const sizes = [true, false].map((little) => view(bytes).getInt32(0, little));
  return sizes.some((size) => size === 348 || size === 540);
}

// { dims, channels, data, affine, nifti }: data is a typed array whose first axis runs fastest, channels last.
export function readNifti(bytes) {
  const v = view(bytes), sizes = [v.getInt32(0, true), v.getInt32(0, false)];
  const version = sizes.includes(348) ? 1 : 2, little = sizes[0] === 348 || sizes[0] === 540, fields = FIELDS[version];
  if (bytes.length < fields.size) refuse('is cut off within its header');
  const all = ([offset, kind, count = 1]) =>
    Array.from({ length: count }, (_, k) => KINDS[kind][1](v, offset + k * KINDS[kind][0], little));
  const one = (field) => all(field)[0];
  const dim = all(fields.dim), rank = dim[0];
  if (rank < 1 || rank > 7 || dim.slice(1, rank + 1).some((n) => n < 1)) refuse('holds no voxels according to its header');
  const shape = dim.slice(1, rank + 1), dims = [0, 1, 2].map((k) => shape[k] ?? 1);
  const others = shape.slice(3).filter((n) => n > 1);
  if (others.length > 1) refuse(`has the shape ${shape.join(' x ')}: it may have one axis of channels behind three of space`);
  const channels = others[0] ?? 1, code = one(fields.type), Type = TYPES[code];
  if (!Type) refuse(`holds voxels of the type ${code}, which a page does not read: save them as numbers of one value each`);
  const slope = one(fields.slope), inter = one(fields.inter);
  const count = dims[0] * dims[1] * dims[2] * channels;
  let data = values(bytes, Math.trunc(one(fields.offset)), count, Type, little);
  if (Number.isFinite(slope) && slope !== 0 && Number.isFinite(inter) && (slope !== 1 || inter !== 0)) {
    const raw = data;
    data = new Float32Array(count);
    for (let i = 0; i < count; i++) data[i] = raw[i] * slope + inter;
  }
  const affine = affineOf(one, all, fields, dims);
  const mm = MM[one(fields.units) & 7] ?? 1;
  for (const row of affine.slice(0, 3)) for (let k = 0; k < 4; k++) row[k] *= mm;
  return { dims, rank: Math.min(rank, 3), channels, data, affine, nifti: { version, shape, header: littleHeader(v, fields, little) } };
}

// The sform where its code is set, otherwise the qform, otherwise the spacing alone: as nibabel and ITK-SNAP have it.
function affineOf(one, all, fields, dims) {
  const pixdim = all(fields.pixdim), zoom = pixdim.slice(1, 4);
  if (one(fields.sform) > 0) {
    const rows = all(fields.rows);
    return [rows.slice(0, 4), rows.slice(4, 8), rows.slice(8, 12), [0, 0, 0, 1]];
  }
  if (one(fields.qform) > 0) {
    const [b, c, d, ...origin] = all(fields.quatern), a = Math.sqrt(Math.max(0, 1 - b * b - c * c - d * d));
    const q = pixdim[0] < 0 ? -1 : 1;
    const turned = [
      [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
      [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
      [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ];
    return [...turned.map((r, i) => [r[0] * zoom[0], r[1] * zoom[1], r[2] * zoom[2] * q, origin[i]]), [0, 0, 0, 1]];
  }
  const steps = [-zoom[0], zoom[1], zoom[2]];
  return [
    ...steps.map((z, i) => [0, 1, 2, 3].map((j) => (j === i ? z : j === 3 ? (-(dims[i] - 1) / 2) * z : 0))),
    [0, 0, 0, 1],
  ];
}

// The header in little-endian order.
function littleHeader(v, fields, little) {
  const header = new Uint8Array(v.buffer, v.byteOffset, fields.size).slice(), to = view(header);
  const { size, magic, texts, others, ...named } = fields;
  for (const [offset, kind, count = 1] of [...Object.values(named), ...others])
    for (let k = 0; k < count; k++) {
      const [length, get, set] = KINDS[kind];
      set(to, offset + k * length, get(v, offset + k * length, little));
    }
  return header;
}

// The bytes behind a header: a text, such as the names of labels, as nibabel writes an extension.
function extended(text) {
  const content = new TextEncoder().encode(text), length = 16 * Math.ceil((8 + content.length) / 16);
  const bytes = new Uint8Array(4 + length);
  bytes[0] = 1;
  view(bytes).setInt32(4, length, true);
  bytes.set(content, 12);
  return bytes;
}

// A label map (Uint8Array, in the order of the image's voxels) as the content of a .nii file in the place of its image;
// text: content of an extension of its header.
export function writeNifti(image, labels, text) {
  const { version, header, shape } = image.nifti ?? newHeader(image), fields = FIELDS[version];
  const extension = extended(text), start = fields.size + extension.length;
  const bytes = new Uint8Array(start + labels.length);
  bytes.set(header);
  bytes.set(extension, fields.size);
  const v = view(bytes);
  const set = ([offset, kind, count = 1], ...numbers) =>
    Array.from({ length: count }, (_, k) => KINDS[kind][2](v, offset + k * KINDS[kind][0], numbers[k] ?? 0));
  const kept = shape.reduce((a, b) => a * b, 1) === labels.length ? shape : image.dims;
  set(fields.dim, kept.length, ...kept, ...Array(7 - kept.length).fill(1));
  const [first, kind, count] = fields.pixdim;
  for (let k = kept.length + 1; k < count; k++) set([first + k * KINDS[kind][0], kind], 1);
  set(fields.type, 2); set(fields.bits, 8); set(fields.offset, start); set(fields.slope, 1); set(fields.inter, 0);
  set(fields.intent); set(fields.intents); set(fields.calibration);
  for (const [offset, length] of fields.texts) bytes.fill(0, offset, offset + length); // they may name a patient
  [...fields.magic[1]].forEach((letter, k) => { bytes[fields.magic[0] + k] = letter.charCodeAt(0); });
  bytes.set(labels, start);
  return bytes;
}

// For an image of another format: its affine as the sform.
function newHeader({ dims, affine }) {
  const header = new Uint8Array(348), v = view(header), { pixdim, rows, sform, units } = FIELDS[1];
  v.setInt32(0, 348, true);
  const zooms = [0, 1, 2].map((k) => Math.hypot(...[0, 1, 2].map((i) => affine[i][k])));
  [1, ...zooms].forEach((zoom, k) => v.setFloat32(pixdim[0] + 4 * k, zoom, true));
  affine.slice(0, 3).flat().forEach((x, k) => v.setFloat32(rows[0] + 4 * k, x, true));
  v.setInt16(sform[0], 1, true); v.setUint8(units[0], 2);
  return { version: 1, header, shape: dims };
}
