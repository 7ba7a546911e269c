// The network slides over a volume: as MONAI's SlidingWindowInferer with the weights of a Gaussian.
const f = Math.fround;

function gaussian(roi) {
  const along = roi.map((n) => Float32Array.from({ length: n }, (_, i) =>
    n === 1 ? 1 : Math.exp(f(f(i - (n - 1) / 2) ** 2) / f(-2 * (n * 0.125) ** 2))));
  const map = new Float32Array(roi[0] * roi[1] * roi[2]);
  let at = 0, least = Infinity;
  for (const a of along[0]) for (const b of along[1]) for (const c of along[2]) {
    map[at] = f(a * b) * c;
    least = Math.min(least, map[at++]);
  }
  least = Math.max(least, 1e-3);
  return map.map((x) => Math.max(x, least));
}

function startsAlong(n, roi, overlap) {
  const interval = roi === n ? roi : Math.max(Math.trunc(roi * (1 - overlap)), 1), starts = [];
  for (let s = 0; ; s += interval) {
    starts.push(Math.min(s, n - roi));
    if (s + roi >= n) return starts;
  }
}

// The first voxels of all windows, and how far a volume that is smaller than a window lies inside it.
export function places(size, roi, overlap) {
  const full = size.map((n, d) => Math.max(n, roi[d]));
  const before = size.map((n, d) => Math.floor(Math.max(roi[d] - n, 0) / 2));
  const [x, y, z] = full.map((n, d) => startsAlong(n, roi[d], overlap).map((s) => s - before[d]));
  return x.flatMap((a) => y.flatMap((b) => z.map((c) => [a, b, c])));
}

// Visits the rows of a window that lie in the volume: where each begins in the window, where in the volume, its length.
function rows(origin, roi, size, visit) {
  const first = Math.max(0, -origin[2]), last = Math.min(roi[2], size[2] - origin[2]);
  if (last <= first) return;
  for (let i = Math.max(0, -origin[0]); i < Math.min(roi[0], size[0] - origin[0]); i++)
    for (let j = Math.max(0, -origin[1]); j < Math.min(roi[1], size[1] - origin[1]); j++)
      visit((i * roi[1] + j) * roi[2] + first, ((origin[0] + i) * size[1] + origin[1] + j) * size[2] + origin[2] + first, last - first);
}

// The logits of a volume. data: channel by channel; engines: functions from a window to a promise of its logits, of
// which each computes one window at a time; moved(share) hears of the progress.
export async function slidingWindow(data, size, { roi, overlap, channels, outputs }, engines, moved = () => {}) {
  const voxels = size[0] * size[1] * size[2], length = roi[0] * roi[1] * roi[2], weight = gaussian(roi);
  const sums = new Float32Array(outputs * voxels), count = new Float32Array(voxels);
  const all = places(size, roi, overlap);
  const cut = (origin) => {
    const window = new Float32Array(channels * length);
    rows(origin, roi, size, (w, v, n) => {
      for (let c = 0; c < channels; c++) window.set(data.subarray(c * voxels + v, c * voxels + v + n), c * length + w);
    });
    return window;
  };
  const add = (origin, logits) => rows(origin, roi, size, (w, v, n) => {
    for (let q = 0; q < n; q++) count[v + q] += weight[w + q];
    for (let o = 0; o < outputs; o++)
      for (let q = 0; q < n; q++) sums[o * voxels + v + q] += f(logits[o * length + w + q] * weight[w + q]);
  });
  // Windows are added in their order, whichever engine is faster: sums of float32 depend on it.
  const running = [];
  for (let next = 0, done = 0; done < all.length; ) {
    while (next < all.length && running.length < engines.length)
      running.push(engines[next % engines.length](cut(all[next++])));
    add(all[done], await running.shift());
    moved(++done / all.length);
  }
  for (let o = 0; o < outputs; o++) for (let v = 0; v < voxels; v++) sums[o * voxels + v] /= count[v];
  return sums;
}

// The volume mirrored along its first axis, channel by channel.
export function mirrored(data, size, channels) {
  const result = new data.constructor(data.length), plane = size[1] * size[2];
  for (let c = 0; c < channels; c++)
    for (let i = 0; i < size[0]; i++) {
      const from = (c * size[0] + i) * plane;
      result.set(data.subarray(from, from + plane), (c * size[0] + size[0] - 1 - i) * plane);
    }
  return result;
}
