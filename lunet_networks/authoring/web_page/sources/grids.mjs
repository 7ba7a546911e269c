// Where voxels lie: orientation to RAS, the grid of another spacing, and interpolation between two grids.
import { cholesky, columnLengths, identity, inverse, linear, multiply, transposed } from './matrices.mjs';
import { refuse } from './errors.mjs';

const TOLERANCE = 1e-3; // of a voxel, or mm; MONAI's for equal affines
const SMALL_SHARE = 0.01; // of a voxel below 0.1 mm
const LARGEST_SCALE = 200;

// For each axis of the array the axis of the patient, and its direction: as nibabel's io_orientation.
function orientation(affine) {
  const zooms = columnLengths(linear(affine)).map((zoom) => zoom || 1);
  let turned = linear(affine).map((row) => row.map((x, j) => x / zooms[j]));
  for (let k = 0; k < 50; k++) { // to the nearest rotation
    const other = transposed(inverse(turned));
    turned = turned.map((row, a) => row.map((x, b) => (x + other[a][b]) / 2));
  }
  const largest = (axis) => Math.max(...turned.map((row) => row[axis] ** 2));
  const left = turned.map((row) => [...row]), found = [];
  for (const axis of [0, 1, 2].sort((a, b) => largest(b) - largest(a))) {
    let to = 0;
    for (let k = 1; k < 3; k++) if (Math.abs(left[k][axis]) > Math.abs(left[to][axis])) to = k;
    found[axis] = { to, flip: left[to][axis] < 0 };
    left[to] = [0, 0, 0];
  }
  return found;
}

// The image as RAS: sizes, steps and start in the array of the file, whose first axis runs fastest, and the affine.
export function toRAS(image) {
  const strides = [1, image.dims[0], image.dims[0] * image.dims[1]], size = [], step = [];
  const change = [...Array(4)].map(() => [0, 0, 0, 0]);
  let start = 0;
  change[3][3] = 1;
  orientation(image.affine).forEach(({ to, flip }, axis) => {
    const n = image.dims[axis];
    size[to] = n;
    step[to] = flip ? -strides[axis] : strides[axis];
    if (flip) start += (n - 1) * strides[axis];
    change[axis][to] = flip ? -1 : 1;
    change[axis][3] = flip ? n - 1 : 0;
  });
  return { size, step, start, affine: multiply(image.affine, change) };
}

const halfToEven = (x) => {
  const whole = Math.floor(x), rest = x - whole;
  return rest < 0.5 ? whole : rest > 0.5 ? whole + 1 : whole + (whole % 2);
};

// As MONAI's Spacing: the grid of another spacing, steps from its voxels to those of the given grid, and back.
export function spaced(grid, pixdim) {
  const here = linear(grid.affine), zoom = columnLengths(here);
  zoom.forEach((z, k) => {
    if (!(z / pixdim[k] >= 1 / LARGEST_SCALE && z / pixdim[k] <= LARGEST_SCALE))
      refuse(`has voxels of ${+z.toPrecision(4)} mm along an axis, the network takes ${pixdim[k]} mm: correct the spacing in its header`);
  });
  const target = pixdim.map((p, k) => (Math.abs(zoom[k] - p) <= Math.min(TOLERANCE, SMALL_SHARE * p) ? zoom[k] : p));
  const turned = multiply(here, inverse(transposed(cholesky(multiply(transposed(here), here)))));
  const affine = [...turned.map((row) => [...row.map((x, j) => x * target[j]), 0]), [0, 0, 0, 1]];
  const ends = grid.size.map((n) => [0, n - 1]), corners = [];
  for (const i of ends[0]) for (const j of ends[1]) for (const k of ends[2]) corners.push([[i], [j], [k], [1]]);
  const there = corners.map((corner) => multiply(multiply(inverse(affine), grid.affine), corner).map((row) => row[0]));
  const range = (k) => there.map((corner) => corner[k]);
  const size = [0, 1, 2].map((k) => halfToEven(Math.max(...range(k)) - Math.min(...range(k)) + 1));
  const first = there.findIndex((corner) => [0, 1, 2].every((k) => Math.abs(Math.min(...range(k)) - corner[k]) <= 1e-8));
  const origin = first >= 0
    ? multiply(grid.affine, corners[first]).map((row) => row[0])
    : [0, 1, 2].map((i) => [0, 1, 2].reduce((sum, j) => sum + (here[i][j] * grid.size[j] - affine[i][j] * size[j]) / 2, grid.affine[i][3]));
  for (let i = 0; i < 3; i++) affine[i][3] = origin[i];
  const steps = multiply(inverse(grid.affine), affine), back = multiply(inverse(affine), grid.affine);
  return isSame(steps, size, grid.size) ? { size: grid.size, steps: identity, back: identity } : { size, steps, back };
}

const isSame = (steps, a, b) =>
  a.every((n, k) => n === b[k]) && steps.every((row, i) => row.every((x, j) => Math.abs(x - +(i === j)) <= TOLERANCE));
const isParallel = (steps, size) =>
  [0, 1, 2].every((i) => size.reduce((sum, n, j) => sum + (i === j ? 0 : Math.abs(steps[i][j]) * n), 0) < TOLERANCE);
const lerp = (a, b, weight) => (weight < 0.5 ? a + weight * (b - a) : b - (b - a) * (1 - weight)); // as PyTorch's

function neighbours(there, here, scale, shift) {
  const below = new Int32Array(there), above = new Int32Array(there), weight = new Float64Array(there);
  for (let i = 0; i < there; i++) {
    const place = Math.min(Math.max(i * scale + shift, 0), here - 1);
    below[i] = Math.floor(place);
    above[i] = Math.min(below[i] + 1, here - 1);
    weight[i] = place - below[i];
  }
  return { below, above, weight };
}

// Calls put(index, sample, i, j, k) for each voxel of a grid, the last axis fastest. sample(array, offset) interpolates
// in an array at that place. from, step, start: sizes of the other grid, and where its voxels lie in the array.
export function resample(size, from, step, start, steps, put) {
  const corner = new Float64Array(8), weight = new Float64Array(3);
  if (steps === identity) return copied(size, step, start, put);
  const sample = (array, offset) => {
    const at = (k) => array[offset + corner[k]], [x, y, z] = weight;
    return lerp(
      lerp(lerp(at(0), at(4), x), lerp(at(2), at(6), x), y),
      lerp(lerp(at(1), at(5), x), lerp(at(3), at(7), x), y),
      z,
    );
  };
  const set = (x0, x1, y0, y1, z0, z1) => {
    x0 = start + x0 * step[0]; x1 = start + x1 * step[0]; y0 *= step[1]; y1 *= step[1]; z0 *= step[2]; z1 *= step[2];
    corner[0] = x0 + y0 + z0; corner[1] = x0 + y0 + z1; corner[2] = x0 + y1 + z0; corner[3] = x0 + y1 + z1;
    corner[4] = x1 + y0 + z0; corner[5] = x1 + y0 + z1; corner[6] = x1 + y1 + z0; corner[7] = x1 + y1 + z1;
  };
  const parallel = isParallel(steps, size);
  const axes = parallel ? [0, 1, 2].map((d) => neighbours(size[d], from[d], steps[d][d], steps[d][3])) : [];
  let index = 0;
  for (let i = 0; i < size[0]; i++) for (let j = 0; j < size[1]; j++) for (let k = 0; k < size[2]; k++) {
    if (parallel) {
      const [x, y, z] = axes;
      set(x.below[i], x.above[i], y.below[j], y.above[j], z.below[k], z.above[k]);
      weight[0] = x.weight[i]; weight[1] = y.weight[j]; weight[2] = z.weight[k];
    } else {
      const place = [0, 1, 2].map((d) =>
        Math.min(Math.max(steps[d][0] * i + steps[d][1] * j + steps[d][2] * k + steps[d][3], 0), from[d] - 1));
      const below = place.map(Math.floor), above = below.map((x, d) => Math.min(x + 1, from[d] - 1));
      set(below[0], above[0], below[1], above[1], below[2], above[2]);
      place.forEach((x, d) => { weight[d] = x - below[d]; });
    }
    put(index++, sample, i, j, k);
  }
}

function copied(size, step, start, put) {
  let index = 0, at = 0;
  const sample = (array, offset) => array[offset + at];
  for (let i = 0; i < size[0]; i++) for (let j = 0; j < size[1]; j++) for (let k = 0; k < size[2]; k++) {
    at = start + i * step[0] + j * step[1] + k * step[2];
    put(index++, sample, i, j, k);
  }
}
