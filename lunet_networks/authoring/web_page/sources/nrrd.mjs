// NRRD: images are read, also without orientation and with an axis of channels.
import { gunzip, values } from './bytes.mjs';
import { refuse } from './errors.mjs';

const TYPES = [
  [['signed char', 'int8', 'int8_t'], Int8Array], [['uchar', 'unsigned char', 'uint8', 'uint8_t'], Uint8Array],
  [['short', 'short int', 'signed short', 'signed short int', 'int16', 'int16_t'], Int16Array],
  [['ushort', 'unsigned short', 'unsigned short int', 'uint16', 'uint16_t'], Uint16Array],
  [['int', 'signed int', 'int32', 'int32_t'], Int32Array], [['uint', 'unsigned int', 'uint32', 'uint32_t'], Uint32Array],
  [['float'], Float32Array], [['double'], Float64Array],
];
const SPACES = { 'left-posterior-superior': -1, lps: -1, 'right-anterior-superior': 1, ras: 1 }; // sign of x and y in RAS
const OF_SPACE = ['domain', 'space', '???', 'none'];
const MM = { m: 1000, cm: 10, um: 0.001, 'µm': 0.001, micron: 0.001 }; // all others count as mm

export const isNrrd = (bytes) => String.fromCharCode(...bytes.subarray(0, 4)) === 'NRRD';

export async function readNrrd(bytes) {
  const { fields, end } = header(bytes);
  const Type = TYPES.find(([names]) => names.includes(fields.type))?.[1];
  if (!Type) refuse(`holds voxels of the type ${fields.type}, which a page does not read`);
  if (fields['data file'] || fields.datafile) refuse('keeps its voxels in another file: save it as one file, NAME.nrrd');
  const encoding = fields.encoding;
  if (!['raw', 'gzip', 'gz'].includes(encoding)) refuse(`is encoded as ${encoding}, which a page does not read: save it as raw or gzip`);
  const sizes = fields.sizes.split(/\s+/).map(Number), count = sizes.reduce((a, b) => a * b, 1);
  const directions = fields['space directions'] && vectors(fields['space directions']);
  const kinds = words(fields.kinds) ?? sizes.map(() => 'domain');
  const others = sizes.map((_, k) => k).filter((k) => (directions && !directions[k]) || !OF_SPACE.includes(kinds[k].toLowerCase()));
  if (others.length > 1) refuse(`has the axes ${others.join(', ')} that are not of space: one may hold the channels`);
  const content = encoding === 'raw' ? bytes.subarray(end) : await gunzip(bytes.subarray(end));
  const read = values(content, 0, count, Type, (fields.endian ?? 'little') !== 'big');
  const [axis] = others, along = sizes.map((_, k) => k).filter((k) => k !== axis);
  const dims = [0, 1, 2].map((k) => (k < along.length ? sizes[along[k]] : 1)), channels = axis === undefined ? 1 : sizes[axis];
  return { dims, rank: along.length, channels, data: channelsLast(read, sizes, axis), affine: affineOf(fields, along, directions) };
}

function header(bytes) {
  let end = -1;
  for (let i = 1; i < Math.min(bytes.length, 1e5); i++)
    if (bytes[i] === 10 && (bytes[i - 1] === 10 || (bytes[i - 1] === 13 && bytes[i - 2] === 10))) { end = i + 1; break; }
  if (end < 0) refuse('has no complete NRRD header');
  const fields = {};
  for (const line of new TextDecoder().decode(bytes.subarray(0, end)).split(/\r?\n/)) {
    const [, name, value] = /^([^#:][^:]*): ?(.*)$/.exec(line) ?? [];
    if (name && !line.includes(':=')) fields[name.trim().toLowerCase()] = value.trim();
  }
  if (!fields.sizes || !fields.type) refuse('has an NRRD header without sizes or type');
  return { fields, end };
}

const words = (text) => text?.match(/"[^"]*"|\S+/g)?.map((word) => word.replaceAll('"', ''));
const vectors = (text) => text.match(/none|\([^)]*\)/gi).map((part) => (part.toLowerCase() === 'none' ? null : part.slice(1, -1).split(',').map(Number)));

function affineOf(fields, along, directions) {
  const space = fields.space?.toLowerCase() ?? 'left-posterior-superior';
  if (!(space in SPACES)) refuse(`has the space ${fields.space}: it has to be left-posterior-superior or right-anterior-superior`);
  const sign = SPACES[space], units = words(fields['space units']) ?? [];
  const spacings = words(fields.spacings)?.map(Number) ?? [], origin = fields['space origin'] ? vectors(fields['space origin'])[0] : [];
  const affine = [0, 1, 2, 3].map((i) => [0, 1, 2, 3].map((j) => +(i === j)));
  for (let i = 0; i < 3; i++) {
    const factor = (i < 2 ? sign : 1) * (MM[units[i]] ?? 1);
    for (let j = 0; j < along.length; j++) {
      const plain = i === j ? Number.isFinite(spacings[along[j]]) ? spacings[along[j]] : 1 : 0;
      affine[i][j] = factor * (directions ? directions[along[j]][i] ?? 0 : plain);
    }
    if (along.length === 3 || i < 2) affine[i][3] = factor * (origin[i] ?? 0);
  }
  if (along.length === 2) affine[2] = [0, 0, 1, 0];
  return affine;
}

function channelsLast(data, sizes, axis) {
  if (axis === undefined || axis === sizes.length - 1) return data;
  const before = sizes.slice(0, axis).reduce((a, b) => a * b, 1), count = sizes[axis], behind = data.length / before / count;
  const moved = new data.constructor(data.length);
  for (let c = 0; c < count; c++)
    for (let b = 0; b < behind; b++)
      for (let a = 0; a < before; a++) moved[(c * behind + b) * before + a] = data[(b * count + c) * before + a];
  return moved;
}
