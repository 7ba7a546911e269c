// Normalisation, channel by channel, with float32 as PyTorch computes it.
import { refuse } from './errors.mjs';

const f = Math.fround;
const ROUNDING = 1e-6; // of the largest value: less contrast is that of rounding
const TINY = 1.1754943508222875e-38;
const LARGEST = 1e14, LEAST_CONTRAST = 1e-15;

// What no network can use; range is [least, greatest, number of values that are not finite].
export function checkValues(ranges, picture) {
  const each = picture ? [[Math.min(...ranges.map((r) => r[0])), Math.max(...ranges.map((r) => r[1])), 0]] : ranges;
  each.forEach(([low, high, broken], c) => {
    if (broken) refuse(`holds nan or infinite values, ${broken} of them in channel ${c}: only finite ones can be used, such as 0 outside the field of view`);
    if (low === high) refuse(`has a channel with the value ${low} only (channel ${c}), so there is nothing to segment`);
    if (Math.max(-low, high) > LARGEST) refuse(`holds the value ${high > -low ? high : low} in channel ${c}, too large for means in float32`);
    if (high - low < LEAST_CONTRAST) refuse(`holds values from ${low} to ${high} in channel ${c}, too close together for float32: scale them`);
  });
}

function statistics(data, nonzero) {
  let count = 0, sum = 0, squares = 0, largest = 0;
  for (const x of data) if (!nonzero || x !== 0) { sum += x; count++; }
  const mean = sum / count;
  for (const x of data) {
    if (!nonzero || x !== 0) squares += (x - mean) ** 2;
    largest = Math.max(largest, Math.abs(x));
  }
  return { count, mean, std: Math.sqrt(squares / count), largest };
}

function standardised(data, { mean, std }, nonzero) {
  const sub = f(mean), div = f(std);
  for (let i = 0; i < data.length; i++) if (!nonzero || data[i] !== 0) data[i] = f(data[i] - sub) / div;
}

const KINDS = {
  // mean 0, standard deviation 1 of the image, or of its voxels that are not 0
  z_score(data, { nonzero }) {
    const { count, mean, std } = statistics(data, nonzero);
    if (count) standardised(data, { mean, std: f(std) || 1 }, nonzero);
  },
  // the same, where a constant image stays one
  guarded_z_score(data) {
    const { mean, std, largest } = statistics(data, false);
    standardised(data, { mean, std: Math.max(std, ROUNDING * largest, TINY) }, false);
  },
  fixed(data, { subtrahend, divisor, nonzero }) {
    standardised(data, { mean: subtrahend, std: divisor }, nonzero);
  },
  // from one range to another, clipped
  range(data, { from, to, clip }) {
    const width = f(from[1] - from[0]), wanted = f(to[1] - to[0]), [low, high] = to.map(f), start = f(from[0]);
    for (let i = 0; i < data.length; i++) {
      const x = f(f(f(f(data[i] - start) / width) * wanted) + low);
      data[i] = clip ? Math.min(Math.max(x, low), high) : x;
    }
  },
  // clipped, then by the mean and the standard deviation of the dataset
  clipped(data, { lower, upper, mean, std }) {
    const [low, high] = [f(lower), f(upper)];
    for (let i = 0; i < data.length; i++) data[i] = Math.min(Math.max(data[i], low), high);
    standardised(data, { mean, std }, false);
  },
};

// data: one channel, which is changed.
export function normalise(data, setting) {
  KINDS[setting.kind](data, setting);
}
