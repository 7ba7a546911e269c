// Float32 layers on a CPU for networks of few channels, each in one pass over memory.
//
// Volumes are channels x depth x height x width. Vectors run along the width, so that a layer of a single channel fills
// them as well as one of eight; libraries run them along the channels. A picture is a volume whose height is its depth
// here, and whose kernel has one tap along the height.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <vector>

#include <omp.h>

#include "vectors.hpp"

namespace {

constexpr int TAPS = 3;      // of the kernel along depth and width; along the height 1 or 3
constexpr int BLOCK = 6;     // output channels that are computed together, at most
constexpr int VECTORS = 4;   // vectors of one row that are computed together, at most

struct Volume {
  int depth, height, width;
  int64_t size() const { return int64_t(depth) * height * width; }
};

struct Weights {        // of a convolution, in the order in which they are read
  const float* kernel;  // by block of output channels: input channel, tap, output channel
  const float *bias, *low, *high;
};

// Where the inputs of a tap lie, from those of the first one on.
struct Strides {
  int64_t channel, row;
  const float* plane[TAPS];
};

int block_size(int left) { return left <= 5 ? left : left <= 8 && left != BLOCK ? 4 : BLOCK; }

// So many vectors of one row, of so many output channels, whole in registers.
template <int CHANNELS, int COUNT>
void row(const Strides& in, int64_t offset, int in_channels, int height_taps, const Weights& weights, int first,
         float* out, int64_t out_channel, int width) {
  const float* kernel = weights.kernel + int64_t(first) * in_channels * TAPS * height_taps * TAPS;
  Vector sums[CHANNELS][COUNT];
  for (int o = 0; o < CHANNELS; o++)
    for (int v = 0; v < COUNT; v++) sums[o][v] = every(weights.bias[first + o]);
  for (int c = 0; c < in_channels; c++)
    for (int d = 0; d < TAPS; d++) {
      const float* from = in.plane[d] + c * in.channel + offset;
      for (int h = 0; h < height_taps; h++, from += in.row)
#pragma GCC unroll 3
        for (int w = 0; w < TAPS; w++, kernel += CHANNELS) {
          Vector values[COUNT];
#pragma GCC unroll 4
          for (int v = 0; v < COUNT; v++) values[v] = load(from + w + v * LANES);
#pragma GCC unroll 6
          for (int o = 0; o < CHANNELS; o++) {
            Vector weight = every(kernel[o]);
#pragma GCC unroll 4
            for (int v = 0; v < COUNT; v++) sums[o][v] += weight * values[v];
          }
        }
    }
  float beyond[COUNT * LANES];  // takes what reaches over the end of the row
  for (int o = 0; o < CHANNELS; o++) {
    float* to = width < COUNT * LANES ? beyond : out + o * out_channel;
    Vector low = every(weights.low[first + o]), high = every(weights.high[first + o]);
    for (int v = 0; v < COUNT; v++) {
      Vector values = sums[o][v];
      values = values < low ? low : values;
      store(to + v * LANES, values > high ? high : values);
    }
    if (to == beyond) std::memcpy(out + o * out_channel, beyond, width * sizeof(float));
  }
}

// All of a row, as many vectors at a time as there are registers for.
template <int CHANNELS>
void long_row(const Strides& in, int64_t offset, int in_channels, int height_taps, const Weights& weights, int first,
              float* out, int64_t out_channel, int width) {
  constexpr int most = std::min(VECTORS, (REGISTERS - 1) / (CHANNELS + 1));
  while (width > 0) {
    int count = std::min(most, (width + LANES - 1) / LANES);
    auto part = row<CHANNELS, 1>;
    if constexpr (most >= 2) part = count == 2 ? row<CHANNELS, 2> : part;
    if constexpr (most >= 3) part = count == 3 ? row<CHANNELS, 3> : part;
    if constexpr (most >= 4) part = count == 4 ? row<CHANNELS, 4> : part;
    part(in, offset, in_channels, height_taps, weights, first, out, out_channel, width);
    offset += count * LANES, out += count * LANES, width -= count * LANES;
  }
}

void block_row(int channels, const Strides& in, int64_t offset, int in_channels, int height_taps,
               const Weights& weights, int first, float* out, int64_t out_channel, int width) {
  using Row = decltype(&long_row<1>);
  static constexpr Row rows[] = {long_row<1>, long_row<2>, long_row<3>, long_row<4>, long_row<5>, long_row<BLOCK>};
  rows[channels - 1](in, offset, in_channels, height_taps, weights, first, out, out_channel, width);
}

// Rows that fill vectors: the planes around the current one are kept, with a margin of zeros, where the cache is.
struct Planes {
  Volume size;
  int in_channels, margin;
  int64_t row_length, channel, plane;

  Planes(int in_channels, Volume size, int height_taps)
      : size(size), in_channels(in_channels), margin(height_taps / 2),
        row_length((size.width + LANES - 1) / LANES * LANES + 2),
        channel((size.height + 2 * margin) * row_length), plane(channel * in_channels) {}

  int64_t scratch() const { return TAPS * plane + LANES; }

  // Output planes from begin to end.
  void convolve(const float* const* in, int out_channels, const Weights& weights, float* out, int height_taps,
                int begin, int end, float* planes) const {
    std::memset(planes, 0, scratch() * sizeof(float));
    auto place = [&](int d) { return planes + int64_t((d + TAPS) % TAPS) * plane; };
    auto fill = [&](int d) {
      for (int c = 0; c < in_channels; c++)
        for (int h = 0; h < size.height; h++) {
          float* to = place(d) + c * channel + (h + margin) * row_length + 1;
          if (d < 0 || d >= size.depth) std::memset(to, 0, size.width * sizeof(float));
          else std::memcpy(to, in[c] + (int64_t(d) * size.height + h) * size.width, size.width * sizeof(float));
        }
    };
    fill(begin - 1);
    fill(begin);
    for (int d = begin; d < end; d++) {
      fill(d + 1);
      Strides strides{channel, row_length, {place(d - 1), place(d), place(d + 1)}};
      for (int first = 0; first < out_channels;) {
        int channels = block_size(out_channels - first);
        for (int h = 0; h < size.height; h++)
          block_row(channels, strides, h * row_length, in_channels, height_taps, weights, first,
                    out + first * size.size() + (int64_t(d) * size.height + h) * size.width, size.size(), size.width);
        first += channels;
      }
    }
  }
};

// Rows too short for vectors: all of the volume, with its margin, is one long row.
struct Flat {
  Volume size;
  int margin;
  int64_t row_length, plane, length, steps, padded;
  static constexpr int64_t STEP = VECTORS * LANES;

  Flat(Volume size, int height_taps)
      : size(size), margin(height_taps / 2), row_length(size.width + 2),
        plane((size.height + 2 * margin) * row_length),
        length((size.depth - 1) * plane + (size.height - 1) * row_length + size.width),  // from first to last voxel
        steps((length + STEP - 1) / STEP), padded((size.depth + 2) * plane + STEP) {}

  int64_t scratch(int in_channels, int out_channels) const {
    return in_channels * padded + out_channels * steps * STEP;
  }

  void pad(const float* in, float* to) const {
    std::memset(to, 0, padded * sizeof(float));
    for (int d = 0; d < size.depth; d++)
      for (int h = 0; h < size.height; h++)
        std::memcpy(to + (d + 1) * plane + (h + margin) * row_length + 1,
                    in + (int64_t(d) * size.height + h) * size.width, size.width * sizeof(float));
  }

  void crop(const float* from, float* out) const {
    for (int d = 0; d < size.depth; d++)
      for (int h = 0; h < size.height; h++)
        std::memcpy(out + (int64_t(d) * size.height + h) * size.width, from + d * plane + h * row_length,
                    size.width * sizeof(float));
  }

  // One step of the output channels of a block.
  void convolve(const float* from, int in_channels, int out_channels, const Weights& weights, float* to,
                int height_taps, int first, int64_t step) const {
    Strides strides{padded, row_length, {from, from + plane, from + 2 * plane}};
    block_row(block_size(out_channels - first), strides, step * STEP, in_channels, height_taps, weights, first,
              to + first * steps * STEP + step * STEP, steps * STEP, std::min<int64_t>(STEP, length - step * STEP));
  }
};

// Greater of two; what is no number stays none, as in torch.
inline float greater(float a, float b) { return a > b || a != a ? a : b; }

}  // namespace

extern "C" {

// Convolution (kernel 3, padding 1) of the channels of all inputs, with what follows it: a ReLU and a batch norm in
// evaluation, in either order, or the clamping to [low, high], or nothing; what does not is null. As
// scale * relu(x) + shift is scale * x + shift, clamped at shift, a ReLU and a norm are a clamping, too.
int lunet_conv(const float* const* in, const int* widths, int inputs, int64_t samples, int out_channels,
               const float* kernel, const float* bias, const float* norm_weight, const float* norm_bias,
               const float* mean, const float* variance, double eps, int norm_first, const float* low,
               const float* high, float* out, int depth, int height, int width, int height_taps, int threads) try {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  Volume size{depth, height, width};
  int in_channels = 0;
  for (int i = 0; i < inputs; i++) in_channels += widths[i];
  int taps = in_channels * TAPS * height_taps * TAPS;
  std::vector<float> ordered(int64_t(out_channels) * taps), biases(out_channels), lows(out_channels),
      highs(out_channels);
  std::vector<int> blocks;  // the first output channel of each
  for (int first = 0; first < out_channels; first += block_size(out_channels - first)) blocks.push_back(first);
  for (int first : blocks) {
    int channels = block_size(out_channels - first);
    float* to = ordered.data() + int64_t(first) * taps;
    for (int o = 0; o < channels; o++) {
      int channel = first + o;
      double scale = 1.0, shift = 0.0;
      bool normed = norm_weight;
      if (normed) {
        scale = norm_weight[channel] / std::sqrt(variance[channel] + eps);
        shift = norm_bias[channel] - mean[channel] * scale;
      }
      bool clamped_at_shift = normed && !norm_first;
      float least = clamped_at_shift ? (scale >= 0 ? float(shift) : -infinity) : normed ? 0.0f : -infinity;
      float most = clamped_at_shift && scale <= 0 ? float(shift) : infinity;
      biases[channel] = (bias ? bias[channel] : 0.0) * scale + shift;
      lows[channel] = low ? low[channel] : least;
      highs[channel] = high ? high[channel] : most;
      for (int tap = 0; tap < taps; tap++)
        to[int64_t(tap) * channels + o] = kernel[int64_t(channel) * taps + tap] * scale;
    }
  }
  Weights weights{ordered.data(), biases.data(), lows.data(), highs.data()};
  std::vector<const float*> channels(in_channels);
  bool is_flat = width < 2 * LANES;
  Planes planes(in_channels, size, height_taps);
  Flat flat(size, height_taps);
  int parts = std::min(threads, depth), num_blocks = blocks.size();
  Scratch scratch(is_flat ? 1 : parts, is_flat ? flat.scratch(in_channels, out_channels) : planes.scratch());
  for (int64_t sample = 0; sample < samples; sample++, out += out_channels * size.size()) {
    for (int i = 0, c = 0; i < inputs; i++)
      for (int k = 0; k < widths[i]; k++, c++) channels[c] = in[i] + (sample * widths[i] + k) * size.size();
    if (is_flat) {
      float *from = scratch.of(0), *to = from + in_channels * flat.padded;
#pragma omp parallel num_threads(threads)
      {
#pragma omp for
        for (int c = 0; c < in_channels; c++) flat.pad(channels[c], from + c * flat.padded);
#pragma omp for collapse(2)
        for (int b = 0; b < num_blocks; b++)
          for (int64_t s = 0; s < flat.steps; s++)
            flat.convolve(from, in_channels, out_channels, weights, to, height_taps, blocks[b], s);
#pragma omp for
        for (int o = 0; o < out_channels; o++) flat.crop(to + o * flat.steps * Flat::STEP, out + o * size.size());
      }
    } else {
#pragma omp parallel for num_threads(parts) schedule(static, 1)
      for (int part = 0; part < parts; part++)
        planes.convolve(channels.data(), out_channels, weights, out, height_taps, int64_t(depth) * part / parts,
                        int64_t(depth) * (part + 1) / parts, scratch.of(part));
    }
  }
  return DONE;
} catch (const std::bad_alloc&) {
  return OUT_OF_MEMORY;
}

// Depthwise convolution (kernel 3, padding 1): every channel for itself.
int lunet_depthwise(const float* in, int64_t samples, int channels, const float* kernel, const float* bias, float* out,
                    int depth, int height, int width, int height_taps, int threads) try {
  static constexpr float zero = 0.0f, infinity = std::numeric_limits<float>::infinity(), least = -infinity;
  Volume size{depth, height, width};
  int taps = TAPS * height_taps * TAPS;
  bool is_flat = width < LANES;
  Planes planes(1, size, height_taps);
  Flat flat(size, height_taps);
  Scratch scratch(threads, is_flat ? flat.scratch(1, 1) : planes.scratch());
#pragma omp parallel for num_threads(threads)
  for (int64_t each = 0; each < samples * channels; each++) {
    int channel = each % channels;
    Weights weights{kernel + int64_t(channel) * taps, bias ? bias + channel : &zero, &least, &infinity};
    const float* from = in + each * size.size();
    float *to = out + each * size.size(), *own = scratch.of(omp_get_thread_num());
    if (is_flat) {
      flat.pad(from, own);
      for (int64_t s = 0; s < flat.steps; s++) flat.convolve(own, 1, 1, weights, own + flat.padded, height_taps, 0, s);
      flat.crop(own + flat.padded, to);
    } else {
      planes.convolve(&from, 1, weights, to, height_taps, 0, depth, own);
    }
  }
  return DONE;
} catch (const std::bad_alloc&) {
  return OUT_OF_MEMORY;
}

// Depthwise transposed convolution (kernel 3, stride 2, padding 1) along all axes; along the depth 1 for pictures. Along
// an axis, voxel 2i of the output is the middle tap of voxel i, and what lies between two voxels is the last tap of the
// one before and the first of the one behind it.
int lunet_depthwise_upsample(const float* in, int64_t samples, int channels, const float* kernel, const float* bias,
                             float* out, int depth, int height, int width, int depth_taps, int threads) try {
  int out_depth = depth_taps == 1 ? depth : 2 * depth - 1, out_height = 2 * height - 1, out_width = 2 * width - 1;
  int64_t planes = samples * channels * out_depth;
  Scratch scratch(threads, 2 * int64_t(width));
#pragma omp parallel for num_threads(threads)
  for (int64_t plane = 0; plane < planes; plane++) {
    int64_t each = plane / out_depth;
    int channel = each % channels, d = plane % out_depth;
    bool between_planes = depth_taps > 1 && d % 2;
    float *even = scratch.of(omp_get_thread_num()), *odd = even + width;
    for (int h = 0; h < out_height; h++) {
      std::fill(even, even + 2 * width, bias ? bias[channel] : 0.0f);
      for (int behind_d = 0; behind_d <= between_planes; behind_d++)
        for (int behind_h = 0; behind_h <= h % 2; behind_h++) {
          int d_tap = depth_taps == 1 ? 0 : between_planes ? 2 - 2 * behind_d : 1, h_tap = h % 2 ? 2 - 2 * behind_h : 1;
          int64_t from_d = (depth_taps == 1 ? d : d / 2) + behind_d, from_h = h / 2 + behind_h;
          const float* weight = kernel + ((int64_t(channel) * depth_taps + d_tap) * TAPS + h_tap) * TAPS;
          const float* from = in + ((each * depth + from_d) * height + from_h) * width;
          for (int w = 0; w < width; w++) even[w] += weight[1] * from[w];
          for (int w = 0; w < width - 1; w++) odd[w] += weight[2] * from[w] + weight[0] * from[w + 1];
        }
      float* to = out + (plane * out_height + h) * out_width;
      for (int w = 0; w < width - 1; w++) to[2 * w] = even[w], to[2 * w + 1] = odd[w];
      to[out_width - 1] = even[width - 1];
    }
  }
  return DONE;
} catch (const std::bad_alloc&) {
  return OUT_OF_MEMORY;
}

// Max pooling, kernel 2 and stride 2 along all axes; along the depth 1 for pictures.
int lunet_pool(const float* in, int64_t channels, float* out, int depth, int height, int width, int depth_taps,
               int threads) try {
  int out_depth = depth / depth_taps, out_height = height / 2, out_width = width / 2;
  Scratch scratch(threads, width);
#pragma omp parallel for num_threads(threads)
  for (int64_t plane = 0; plane < channels * out_depth; plane++) {
    float* greatest = scratch.of(omp_get_thread_num());
    for (int h = 0; h < out_height; h++) {
      const float* first = in + ((plane / out_depth * depth + plane % out_depth * depth_taps) * height + 2 * h) * width;
      std::memcpy(greatest, first, width * sizeof(float));
      for (int row = 1; row < 2 * depth_taps; row++) {
        const float* other = first + (int64_t(row / 2) * height + row % 2) * width;
        for (int w = 0; w < width; w++) greatest[w] = greater(greatest[w], other[w]);
      }
      float* to = out + (plane * out_height + h) * out_width;
      for (int w = 0; w < out_width; w++) to[w] = greater(greatest[2 * w], greatest[2 * w + 1]);
    }
  }
  return DONE;
} catch (const std::bad_alloc&) {
  return OUT_OF_MEMORY;
}

// Transposed convolution, kernel 2 and stride 2 along all axes; along the depth 1 for pictures.
int lunet_upsample(const float* in, int64_t samples, int in_channels, int out_channels, const float* kernel,
                   const float* bias, float* out, int depth, int height, int width, int depth_taps, int threads) try {
  int taps = depth_taps * 2 * 2;
  int64_t size = int64_t(depth) * height * width;
  Scratch scratch(threads, 2 * int64_t(width));
#pragma omp parallel for collapse(3) num_threads(threads)
  for (int64_t sample = 0; sample < samples; sample++)
    for (int o = 0; o < out_channels; o++)
      for (int d = 0; d < depth; d++) {
        float *even = scratch.of(omp_get_thread_num()), *odd = even + width;
        for (int h = 0; h < height; h++)
          for (int row = 0; row < depth_taps * 2; row++) {
            std::fill(even, even + 2 * width, bias ? bias[o] : 0.0f);
            for (int c = 0; c < in_channels; c++) {
              const float* weight = kernel + (int64_t(c) * out_channels + o) * taps + 2 * row;
              const float* from = in + (sample * in_channels + c) * size + (int64_t(d) * height + h) * width;
              for (int w = 0; w < width; w++) {
                even[w] += weight[0] * from[w];
                odd[w] += weight[1] * from[w];
              }
            }
            int64_t to_plane = ((sample * out_channels + o) * depth + d) * depth_taps + row / 2;
            float* to = out + (to_plane * height * 2 + 2 * h + row % 2) * width * 2;
            for (int w = 0; w < width; w++) to[2 * w] = even[w], to[2 * w + 1] = odd[w];
          }
      }
  return DONE;
} catch (const std::bad_alloc&) {
  return OUT_OF_MEMORY;
}
}
