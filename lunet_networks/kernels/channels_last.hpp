// Convolutions for many channels, whose volumes are depth x height x width x channels.
//
// Vectors run along the output channels. Channels come in groups of 16. The planes of the input around the current one
// are kept, with a margin of zeros, where the cache is; what comes before the convolution is computed as they are filled.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

#include <omp.h>

#include "vectors.hpp"

namespace {

constexpr int GROUP = 16;  // input channels of a voxel that lie together
constexpr int TAPS = 3;    // along an axis, at most

struct Volume {
  int depth, height, width;
  int64_t size() const { return int64_t(depth) * height * width; }
};

inline Vector leaky(Vector x, float slope) { return x > 0.0f ? x : x * slope; }

// What is read as an image of many channels, and what is computed as it is read.
struct Field {
  const float* values;
  int channels;
  const float *scale = nullptr, *shift = nullptr;  // of each channel: then comes a leaky ReLU
  float slope = 1.0f;
  const float* lower = nullptr;  // an image of half the resolution that is added, by nearest neighbours
  // Or the image is a layer of one voxel of an image in planes: weights by input channel, then output channel.
  const float *stem = nullptr, *stem_bias = nullptr;
  int stem_channels = 0;

  // A row, into voxels and groups of 16 channels at these distances.
  void read(const Volume& size, int d, int h, float* to, int64_t voxel, int64_t group) const {
    int64_t begin = (int64_t(d) * size.height + h) * size.width;
    const float* below = lower;
    if (lower) below += (int64_t(d / 2) * (size.height / 2) + h / 2) * (size.width / 2) * channels;
    for (int w = 0; w < size.width; w++)
      for (int c = 0; c < channels; c += LANES) {
        Vector value;
        if (stem) {
          value = load(stem_bias + c);
          for (int k = 0; k < stem_channels; k++)
            value += load(stem + int64_t(k) * channels + c) * values[k * size.size() + begin + w];
        } else {
          value = load(values + (begin + w) * channels + c);
          if (lower) value += load(below + int64_t(w / 2) * channels + c);
          if (scale) value = leaky(value * load(scale + c) + load(shift + c), slope);
        }
        store(to + c / GROUP * group + w * voxel + c % GROUP, value);
      }
  }
};

// The sums of which mean and variance of every channel follow, by plane of the volume: squared distances from the mean
// of a row, means of rows, and their squares. They do not depend on the threads.
class Moments {
 public:
  Moments(int depth, int channels) : depth(depth), channels(channels), sums(int64_t(depth) * channels * 3) {}

  void clear() { std::fill(sums.begin(), sums.end(), 0.0); }

  // A row of LANES channels.
  void add(int plane, int channel, const float* row, int64_t voxel, int width) {
    Vector sum{}, squares{};
    for (int w = 0; w < width; w++) sum += load(row + w * voxel);
    Vector mean = sum / float(width);
    for (int w = 0; w < width; w++) {
      Vector distance = load(row + w * voxel) - mean;
      squares += distance * distance;
    }
    double* to = sums.data() + (int64_t(plane) * channels + channel) * 3;
    for (int lane = 0; lane < LANES; lane++, to += 3) {
      to[0] += squares[lane];
      to[1] += mean[lane];
      to[2] += double(mean[lane]) * mean[lane];
    }
  }

  // The instance norm of a channel: what to multiply by, and then to add.
  void norm(int channel, int64_t rows, int width, double eps, double& scale, double& shift) const {
    double within = 0.0, means = 0.0, squares = 0.0;
    for (int d = 0; d < depth; d++) {
      const double* from = sums.data() + (int64_t(d) * channels + channel) * 3;
      within += from[0], means += from[1], squares += from[2];
    }
    double mean = means / rows, between = squares / rows - mean * mean;
    double variance = within / (double(rows) * width) + (between < 0.0 ? 0.0 : between);
    scale = 1.0 / std::sqrt(variance + eps);
    shift = -mean * scale;
  }

 private:
  int depth, channels;
  std::vector<double> sums;
};

// What a tile of the output reads.
struct Window {
  const float* plane[TAPS];  // of the taps along the depth; none beyond the volume
  int64_t group, row;
  int groups, taps[3];
};

// So many vectors of output channels of so many voxels of a row.
template <int VECTORS, int VOXELS, int STRIDE>
void tile(const Window& in, int64_t offset, const float* weights, const float* bias, float* out, int64_t out_voxel) {
  Vector sums[VECTORS][VOXELS];
  for (int k = 0; k < VECTORS; k++)
    for (int v = 0; v < VOXELS; v++) sums[k][v] = bias ? load(bias + k * LANES) : Vector{};
  for (int g = 0; g < in.groups; g++)
    for (int d = 0; d < in.taps[0]; d++) {
      if (!in.plane[d]) {
        weights += int64_t(in.taps[1]) * in.taps[2] * GROUP * VECTORS * LANES;
        continue;
      }
      const float* from = in.plane[d] + g * in.group + offset;
      for (int h = 0; h < in.taps[1]; h++, from += in.row)
        for (int w = 0; w < in.taps[2]; w++) {
          const float* at = from + w * GROUP;
#pragma GCC unroll 4
          for (int c = 0; c < GROUP; c++, weights += VECTORS * LANES) {
            Vector weight[VECTORS];
#pragma GCC unroll 2
            for (int k = 0; k < VECTORS; k++) weight[k] = load(weights + k * LANES);
#pragma GCC unroll 16
            for (int v = 0; v < VOXELS; v++) {
              Vector value = every(at[v * STRIDE * GROUP + c]);
#pragma GCC unroll 2
              for (int k = 0; k < VECTORS; k++) sums[k][v] += weight[k] * value;
            }
          }
        }
    }
#pragma GCC unroll 16
  for (int v = 0; v < VOXELS; v++)
#pragma GCC unroll 2
    for (int k = 0; k < VECTORS; k++) store(out + v * out_voxel + k * LANES, sums[k][v]);
}

// All of a row, as many voxels at a time as there are registers for.
template <int VECTORS, int STRIDE>
void tiles(const Window& in, int64_t offset, const float* weights, const float* bias, float* out, int64_t out_voxel,
           int width) {
  constexpr int most = REGISTERS == 32 ? 16 / VECTORS : 12 / VECTORS;
  while (width > 0) {
    int count = width >= most ? most : width >= 8 && most > 8 ? 8 : width >= 4 ? 4 : width >= 2 ? 2 : 1;
    auto some = tile<VECTORS, 1, STRIDE>;
    some = count == 2 ? tile<VECTORS, 2, STRIDE> : count == 4 ? tile<VECTORS, 4, STRIDE> : some;
    if constexpr (most > 8) some = count == 8 ? tile<VECTORS, 8, STRIDE> : some;
    some = count == most ? tile<VECTORS, most, STRIDE> : some;
    some(in, offset, weights, bias, out, out_voxel);
    offset += int64_t(count) * STRIDE * GROUP, out += count * out_voxel, width -= count;
  }
}

// A convolution of odd kernel whose padding keeps the size, but for the stride of 1 or 2.
class Layer {
 public:
  Layer(int in_channels, int out_channels, const int* taps, int stride, const float* kernel, const float* bias,
        int threads)
      : in_channels(in_channels), out_channels(out_channels), stride(stride), taps{taps[0], taps[1], taps[2]},
        volume(taps[0] * taps[1] * taps[2]), bias(bias), weights(1, int64_t(in_channels) * out_channels * volume) {
    int64_t length = int64_t(in_channels) * volume;
#pragma omp parallel for num_threads(threads)
    for (int first = 0; first < out_channels; first += BLOCK) {
      int block = std::min(BLOCK, out_channels - first);
      const float* from = kernel + first * length;
      float* to = weights.of(0) + first * length;
      for (int c = 0; c < in_channels; c++)
        for (int t = 0; t < volume; t++, from++) {
          float* at = to + ((int64_t(c / GROUP) * volume + t) * GROUP + c % GROUP) * block;
          for (int o = 0; o < block; o++) at[o] = from[o * length];
        }
    }
  }

  Volume output(const Volume& size) const {
    return {(size.depth - 1) / stride + 1, (size.height - 1) / stride + 1, (size.width - 1) / stride + 1};
  }

  // Floats that each thread needs for inputs of this size.
  int64_t scratch(const Volume& size) const { return taps[0] * plane(size); }

  // The output, and what its norm needs, if anything does.
  void compute(const Field& in, const Volume& size, float* out, Moments* moments, Scratch& scratch, int threads) const {
    Volume out_size = output(size);
    int blocks = (out_channels + BLOCK - 1) / BLOCK, along_depth = std::min(threads, out_size.depth);
    int along_channels = std::max(1, std::min(blocks, threads / along_depth)), parts = along_depth * along_channels;
    if (moments) moments->clear();
#pragma omp parallel for num_threads(parts) schedule(static, 1)
    for (int part = 0; part < parts; part++) {
      int which = part % along_depth, begin = int64_t(out_size.depth) * which / along_depth;
      int end = int64_t(out_size.depth) * (which + 1) / along_depth, some = part / along_depth;
      compute_part(in, size, out_size, out, moments, scratch.of(part), begin, end, blocks * some / along_channels,
                   blocks * (some + 1) / along_channels);
    }
  }

 private:
  static constexpr int BLOCK = 2 * LANES;  // output channels that are computed together

  int64_t row(const Volume& size) const { return (size.width + taps[2] - 1) * int64_t(GROUP); }
  int64_t group(const Volume& size) const { return (size.height + taps[1] - 1) * row(size); }
  int64_t plane(const Volume& size) const { return in_channels / GROUP * group(size); }

  void compute_part(const Field& in, const Volume& size, const Volume& out_size, float* out, Moments* moments,
                    float* planes, int begin, int end, int first_block, int last_block) const {
    std::memset(planes, 0, scratch(size) * sizeof(float));
    int64_t row = this->row(size), group = this->group(size), plane = this->plane(size);
    int margin = taps[0] / 2, filled = std::max(0, begin * stride - margin);
    Window window{{}, group, row, in_channels / GROUP, {taps[0], taps[1], taps[2]}};
    auto place = [&](int d) { return planes + d % taps[0] * plane; };
    for (int d = begin; d < end; d++) {
      for (int last = std::min(size.depth - 1, d * stride + margin); filled <= last; filled++)
        for (int h = 0; h < size.height; h++)
          in.read(size, filled, h, place(filled) + (h + taps[1] / 2) * row + taps[2] / 2 * GROUP, GROUP, group);
      for (int k = 0; k < taps[0]; k++) {
        int from = d * stride + k - margin;
        window.plane[k] = from < 0 || from >= size.depth ? nullptr : place(from);
      }
      for (int block = first_block; block < last_block; block++) {
        int first = block * BLOCK, vectors = std::min(BLOCK, out_channels - first) / LANES;
        auto some = stride == 1 ? (vectors == 1 ? tiles<1, 1> : tiles<2, 1>) : vectors == 1 ? tiles<1, 2> : tiles<2, 2>;
        for (int h = 0; h < out_size.height; h++) {
          float* to = out + (int64_t(d) * out_size.height + h) * out_size.width * out_channels + first;
          some(window, h * stride * row, weights.of(0) + first * int64_t(in_channels) * volume,
               bias ? bias + first : nullptr, to, out_channels, out_size.width);
          if (moments)
            for (int k = 0; k < vectors; k++)
              moments->add(d, first + k * LANES, to + k * LANES, out_channels, out_size.width);
        }
      }
    }
  }

  int in_channels, out_channels, stride, taps[3], volume;
  const float* bias;
  Scratch weights;
};

}  // namespace
