// Images from files: formats, channels, and what the network takes.
import { gunzip } from './bytes.mjs';
import { refuse } from './errors.mjs';
import { isNifti, readNifti } from './nifti.mjs';
import { isNrrd, readNrrd } from './nrrd.mjs';
import { isPng, pictureOf, readPng } from './png.mjs';
import { columnLengths, determinant, linear } from './matrices.mjs';

const GRID_TOLERANCE = 0.1; // of a voxel: programs round the affine differently

// { dims, rank, channels, data, affine, ... } of one file.
export async function readFile(bytes) {
  if (isPng(bytes)) return readPng(bytes);
  if (isNrrd(bytes)) return readNrrd(bytes);
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return readByBrowser(bytes, 'image/jpeg');
  if (String.fromCharCode(...bytes.subarray(128, 132)) === 'DICM') refuse('is DICOM: convert the series to NIfTI first, for example with dcm2niix');
  if (['II*\0', 'MM\0*'].includes(String.fromCharCode(...bytes.subarray(0, 4)))) refuse('is TIFF, which a page does not read: save it as PNG');
  const content = await gunzip(bytes);
  if (!isNifti(content)) refuse('has a format that cannot be read: use NIfTI (.nii, .nii.gz) or NRRD (.nrrd), for 2D images also PNG or JPG');
  return readNifti(content);
}

async function readByBrowser(bytes, type) {
  if (typeof createImageBitmap === 'undefined') refuse('is JPG, which only a browser reads');
  const options = { colorSpaceConversion: 'none', premultiplyAlpha: 'none' };
  let bitmap;
  try {
    bitmap = await createImageBitmap(new Blob([bytes], { type }), options);
  } catch {
    refuse('is damaged or cut off: the browser cannot read it as a picture');
  }
  const { width, height } = bitmap, context = new OffscreenCanvas(width, height).getContext('2d');
  context.drawImage(bitmap, 0, 0);
  return pictureOf(width, height, context.getImageData(0, 0, width, height).data, 4);
}

// One image of several files, each a channel.
function joined(parts, names) {
  const [first] = parts;
  parts.forEach((part, k) => {
    if (part.dims.some((n, d) => n !== first.dims[d])) refuse(`is ${part.dims.join(' x ')} voxels (${names[k]}), ${names[0]} has ${first.dims.join(' x ')}`);
    const voxel = Math.min(...columnLengths(linear(first.affine)).slice(0, first.rank));
    const far = distance(first.affine, part.affine, first.dims);
    if (far > GRID_TOLERANCE * voxel) refuse(`lies up to ${far.toPrecision(3)} mm away from ${names[0]} (${names[k]}): channels need the same voxels`);
  });
  const size = first.dims[0] * first.dims[1] * first.dims[2], channels = parts.reduce((sum, part) => sum + part.channels, 0);
  const data = new Float32Array(size * channels);
  parts.reduce((at, part) => { data.set(part.data, at); return at + part.data.length; }, 0);
  return { ...first, channels, data };
}

function distance(a, b, dims) {
  let most = 0;
  for (const i of [0, dims[0] - 1]) for (const j of [0, dims[1] - 1]) for (const k of [0, dims[2] - 1])
    most = Math.max(most, Math.hypot(...[0, 1, 2].map((r) => [i, j, k, 1].reduce((sum, x, c) => sum + x * (a[r][c] - b[r][c]), 0))));
  return most;
}

// The image that the model labels. files: [{ name, bytes }], one, or one for each channel in any order.
export async function readImage(files, model) {
  const sorted = [...files].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)), names = sorted.map(({ name }) => name);
  const parts = [];
  for (const { name, bytes } of sorted) {
    try {
      parts.push(await readFile(bytes));
    } catch (error) {
      if (sorted.length > 1) error.message += ` (${name})`;
      throw error;
    }
  }
  const image = parts.length > 1 ? joined(parts, names) : parts[0];
  const flat = model.dims === 2;
  if (flat && image.rank === 3 && image.dims[2] === 1) image.rank = 2;
  if (image.rank !== model.dims) refuse(`has ${image.rank} spatial dimensions (${image.dims.slice(0, image.rank).join(' x ')}), ${model.dims} are needed`);
  const coloured = model.greyToColour && image.channels === 1;
  if (image.channels !== model.channels && !coloured && !(image.picture && image.channels === 1 && model.channels === 3))
    refuse(`has ${image.channels} channels, ${model.channels} are needed${model.channels > 1 ? `: ${model.channelNames.join(', ')}, in one file or a file for each, NAME_0000, NAME_0001 ...` : ''}`);
  if (flat) image.affine = inPlane(image.affine);
  if (image.affine.flat().some((x) => !Number.isFinite(x))) refuse('has an affine that is not finite');
  if (Math.abs(determinant(linear(image.affine))) < 1e-12 * columnLengths(linear(image.affine)).reduce((a, b) => a * b, 1) || columnLengths(linear(image.affine)).some((x) => x === 0))
    refuse('has an affine in which one axis has no length');
  return image;
}

const inPlane = (a) => [[a[0][0], a[0][1], 0, a[0][3]], [a[1][0], a[1][1], 0, a[1][3]], [0, 0, 1, 0], [0, 0, 0, 1]];

// The name of a case: that of its file without the ending, or of its files without the number of the channel.
export function caseName(names) {
  const [first] = [...names].sort().map((name) => name.replace(/(\.nii\.gz|\.nii|\.nrrd|\.png|\.jpe?g)$/i, ''));
  return names.length > 1 || /._0000$/.test(first) ? first.replace(/_0000$/, '') : first;
}
