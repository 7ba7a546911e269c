// What a bundle's inference does with one image, by the settings in the page.
import { resample, spaced, toRAS } from './grids.mjs';
import { checkValues, normalise } from './intensities.mjs';
import { averaged, counts, keepLargest, mostProbable, sigmoid, softmax } from './labels.mjs';
import { determinant, linear } from './matrices.mjs';
import { refuse } from './errors.mjs';
import { mirrored, slidingWindow } from './windows.mjs';

const MOST_BYTES = 2 ** 31;

function rangesOf(image) {
  const size = image.data.length / image.channels;
  return Array.from({ length: image.channels }, (_, c) => {
    let low = Infinity, high = -Infinity, broken = 0;
    for (let i = c * size; i < (c + 1) * size; i++) {
      const x = image.data[i];
      if (!Number.isFinite(x)) broken++;
      if (x < low) low = x;
      if (x > high) high = x;
    }
    return [low, high, broken];
  });
}

// The bytes that labelling takes beside the engines.
export function bytesNeeded(image, voxels, model) {
  const volumes = model.channels + model.outputs * (model.flip ? 2 : 1) + 1 + (model.flip ? model.channels : 0);
  return 4 * voxels * volumes + image.data.byteLength + image.data.length / image.channels;
}

function checkMemory(image, size, model) {
  const bytes = bytesNeeded(image, size[0] * size[1] * size[2], model);
  if (bytes > MOST_BYTES)
    refuse(`needs ${(bytes / 1e9).toFixed(1)} GB for its ${size.join(' x ')} voxels after resampling, a page takes ${(MOST_BYTES / 1e9).toFixed(1)} GB: label it with the bundle in Python`);
}

// { labels, counts, volumes, seconds ... } of an image of readImage. labels: in the order of the file.
export async function labelImage(image, model, engines, moved = () => {}) {
  checkValues(rangesOf(image), image.picture);
  const ras = toRAS(image), grid = spaced(ras, model.pixdim), { channels, outputs } = model;
  checkMemory(image, grid.size, model);
  const voxels = grid.size[0] * grid.size[1] * grid.size[2], inFile = image.data.length / image.channels;
  const data = new Float32Array(channels * voxels);
  for (let c = 0; c < channels; c++) {
    const own = data.subarray(c * voxels, (c + 1) * voxels), offset = (image.channels === 1 ? 0 : c) * inFile;
    resample(grid.size, ras.size, ras.step, ras.start, grid.steps, (i, sample) => { own[i] = sample(image.data, offset); });
    normalise(own, model.normalisation[c]);
  }
  const share = model.flip ? 0.5 : 1;
  const logits = await slidingWindow(data, grid.size, model, engines, (done) => moved(done * share));
  if (model.flip) {
    const turned = mirrored(data, grid.size, channels);
    const others = await slidingWindow(turned, grid.size, model, engines, (done) => moved(0.5 + done / 2));
    averaged(logits, mirrored(others, grid.size, outputs), outputs, voxels);
  }
  if (outputs === 1) sigmoid(logits);
  else softmax(logits, outputs, voxels);
  const labels = new Uint8Array(inFile), step = [grid.size[1] * grid.size[2], grid.size[2], 1];
  resample(ras.size, grid.size, step, 0, grid.back, (_, sample, i, j, k) => {
    labels[ras.start + i * ras.step[0] + j * ras.step[1] + k * ras.step[2]] =
      mostProbable((o) => Math.fround(sample(logits, o * voxels)), outputs);
  });
  if (model.largest) keepLargest(labels, image.dims);
  const found = counts(labels, model.labels.length + 1), voxel = Math.abs(determinant(linear(image.affine)));
  return { labels, counts: found, millilitres: found.map((n) => (n * voxel) / 1000), size: grid.size };
}
