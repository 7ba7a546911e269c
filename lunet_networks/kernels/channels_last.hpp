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

struct Computed;

// What is read as an image of many channels, and what is computed as it is read.
struct Field {
  const float* values;  // none if it is computed
  int channels;
  const float *scale = nullptr, *shift = nullptr;  // of each channel: then comes a leaky ReLU
  float slope = 1.0f;
  const float* lower = nullptr;  // an image of half the resolution that is added, by nearest neighbours
  // Or the image is a layer of one voxel of an image in planes: weights by input channel, then output channel.
  const float *stem = nullptr, *stem_bias = nullptr;
  int stem_channels = 0;
  const Computed* computed = nullptr;

  // A row, into voxels and groups of 16 channels at these distances.
  void read(const Volume& size, int d, int h, float* to, int64_t voxel, int64_t group) const {
    int64_t begin = (int64_t(d) * size.height + h) * size.width;
    const float* from = computed ? row_of(*computed, d, h) : values + begin * channels;
    for (int c = 0; c < channels; c += LANES) {
      float* at = to + c / GROUP * group + c % GROUP;
      if (stem) {
        for (int w = 0; w < size.width; w++) {
          Vector value = load(stem_bias + c);
          for (int k = 0; k < stem_channels; k++)
            value += load(stem + int64_t(k) * channels + c) * values[k * size.size() + begin + w];
          store(at + w * voxel, value);
        }
      } else if (lower) {
        const float* below = lower + (int64_t(d / 2) * (size.height / 2) + h / 2) * (size.width / 2) * channels + c;
        for (int w = 0; w < size.width; w += 2) {
          Vector added = load(below + int64_t(w / 2) * channels);
          for (int k = w; k < w + 2; k++) store(at + k * voxel, load(from + int64_t(k) * channels + c) + added);
        }
      } else if (scale) {
        Vector factor = load(scale + c), added = load(shift + c);
        for (int w = 0; w < size.width; w++)
          store(at + w * voxel, leaky(load(from + int64_t(w) * channels + c) * factor + added, slope));
      } else {
        for (int w = 0; w < size.width; w++) store(at + w * voxel, load(from + int64_t(w) * channels + c));
      }
    }
  }

 private:
  static const float* row_of(const Computed& computed, int d, int h);
};

// The sums of which mean and variance of every channel follow, by plane of the volume: squared distances from the mean
// of a row, means of rows, and their squares. They do not depend on the threads.
class Moments {
 public:
  Moments(int depth, int channels) : depth(depth), channels(channels), sums(int64_t(depth) * channels * 3) {}

  void clear() { std::fill(sums.begin(), sums.end(), 0.0); }

  // A row of LANES channels.
  void add(int plane, int channel, const float* row, int64_t voxel, int width) {
    constexpr int AT_ONCE = 4;
    Vector sum[AT_ONCE]{}, squares[AT_ONCE]{};
    int whole = width / AT_ONCE * AT_ONCE;
    for (int w = 0; w < whole; w += AT_ONCE)
      for (int k = 0; k < AT_ONCE; k++) sum[k] += load(row + (w + k) * voxel);
    for (int w = whole; w < width; w++) sum[0] += load(row + w * voxel);
    Vector mean = ((sum[0] + sum[1]) + (sum[2] + sum[3])) / float(width);
    auto add_square = [&](int w, Vector& to) {
      Vector distance = load(row + w * voxel) - mean;
      to += distance * distance;
    };
    for (int w = 0; w < whole; w += AT_ONCE)
      for (int k = 0; k < AT_ONCE; k++) add_square(w + k, squares[k]);
    for (int w = whole; w < width; w++) add_square(w, squares[0]);
    float distances[LANES], means[LANES];
    store(distances, (squares[0] + squares[1]) + (squares[2] + squares[3]));
    store(means, mean);
    double* to = at(plane, channel);
    for (int lane = 0; lane < LANES; lane++) to[lane] += distances[lane];
    for (int lane = 0; lane < LANES; lane++) to[channels + lane] += means[lane];
    for (int lane = 0; lane < LANES; lane++) to[2 * channels + lane] += double(means[lane]) * means[lane];
  }

  // The instance norm of a channel: what to multiply by, and then to add.
  void norm(int channel, int64_t rows, int width, double eps, double& scale, double& shift) const {
    double within = 0.0, means = 0.0, squares = 0.0;
    for (int d = 0; d < depth; d++) {
      const double* from = at(d, channel);
      within += from[0], means += from[channels], squares += from[2 * channels];
    }
    double mean = means / rows, between = squares / rows - mean * mean;
    double variance = within / (double(rows) * width) + (between < 0.0 ? 0.0 : between);
    scale = 1.0 / std::sqrt(variance + eps);
    shift = -mean * scale;
  }

 private:
  double* at(int plane, int channel) { return sums.data() + int64_t(plane) * 3 * channels + channel; }
  const double* at(int plane, int channel) const { return const_cast<Moments*>(this)->at(plane, channel); }

  int depth, channels;
  std::vector<double> sums;
};

// What a tile of the output reads.
struct Window {
  const float* plane[TAPS];  // of the taps along the depth; none beyond the volume
  int64_t group, row;
  int groups, depth_taps, height_taps;
};

// So many vectors of output channels of so many voxels of a row. A value that is loaded serves all taps along the width.
template <int VECTORS, int VOXELS, int STRIDE, int WIDTH_TAPS>
void tile(const Window& in, int64_t offset, const float* weights, const float* bias, float* out, int64_t out_voxel) {
  constexpr int COLUMNS = (VOXELS - 1) * STRIDE + WIDTH_TAPS, BLOCK = VECTORS * LANES;
  constexpr int64_t TAP = GROUP * BLOCK;
  Vector sums[VECTORS][VOXELS];
  for (int k = 0; k < VECTORS; k++)
    for (int v = 0; v < VOXELS; v++) sums[k][v] = bias ? load(bias + k * LANES) : Vector{};
  for (int g = 0; g < in.groups; g++)
    for (int d = 0; d < in.depth_taps; d++) {
      if (!in.plane[d]) {
        weights += in.height_taps * WIDTH_TAPS * TAP;
        continue;
      }
      const float* from = in.plane[d] + g * in.group + offset;
      for (int h = 0; h < in.height_taps; h++, from += in.row, weights += WIDTH_TAPS * TAP)
#pragma GCC unroll 2
        for (int c = 0; c < GROUP; c++) {
          Vector weight[WIDTH_TAPS][VECTORS];
#pragma GCC unroll 3
          for (int w = 0; w < WIDTH_TAPS; w++)
#pragma GCC unroll 2
            for (int k = 0; k < VECTORS; k++) weight[w][k] = load(weights + w * TAP + c * BLOCK + k * LANES);
#pragma GCC unroll 40
          for (int column = 0; column < COLUMNS; column++) {
            Vector value = every(from[column * GROUP + c]);
#pragma GCC unroll 3
            for (int w = 0; w < WIDTH_TAPS; w++)
              if (column >= w && (column - w) % STRIDE == 0 && (column - w) / STRIDE < VOXELS)
#pragma GCC unroll 2
                for (int k = 0; k < VECTORS; k++) sums[k][(column - w) / STRIDE] += weight[w][k] * value;
          }
        }
    }
#pragma GCC unroll 16
  for (int v = 0; v < VOXELS; v++)
#pragma GCC unroll 2
    for (int k = 0; k < VECTORS; k++) store(out + v * out_voxel + k * LANES, sums[k][v]);
}

// All of a row, as many voxels at a time as there are registers for.
template <int VECTORS, int STRIDE, int WIDTH_TAPS>
void tiles(const Window& in, int64_t offset, const float* weights, const float* bias, float* out, int64_t out_voxel,
           int width) {
  constexpr int sums = WIDTH_TAPS == 1 ? 24 : 16;  // the more taps, the more registers hold weights
  constexpr int most = (REGISTERS == 32 ? sums : sums / 2) / VECTORS;
  while (width > 0) {
    int count = width >= most ? most : width >= 8 && most > 8 ? 8 : width >= 4 ? 4 : width >= 2 ? 2 : 1;
    auto some = tile<VECTORS, 1, STRIDE, WIDTH_TAPS>;
    some = count == 2 ? tile<VECTORS, 2, STRIDE, WIDTH_TAPS> : count == 4 ? tile<VECTORS, 4, STRIDE, WIDTH_TAPS> : some;
    if constexpr (most > 8) some = count == 8 ? tile<VECTORS, 8, STRIDE, WIDTH_TAPS> : some;
    some = count == most ? tile<VECTORS, most, STRIDE, WIDTH_TAPS> : some;
    some(in, offset, weights, bias, out, out_voxel);
    offset += int64_t(count) * STRIDE * GROUP, out += count * out_voxel, width -= count;
  }
}

using Tiles = decltype(&tiles<1, 1, 1>);

template <int VECTORS>
Tiles choose_tiles(int stride, int width_taps) {
  if (width_taps == 1) return stride == 1 ? tiles<VECTORS, 1, 1> : tiles<VECTORS, 2, 1>;
  return stride == 1 ? tiles<VECTORS, 1, TAPS> : tiles<VECTORS, 2, TAPS>;
}

// A convolution of odd kernel for inputs of one size, whose padding keeps the size, but for the stride of 1 or 2.
//
// Usually threads share the depth of the output, and each keeps the planes around the current one. In deep layers the
// weights take more memory than the image: then all planes are kept, and each thread brings the weights of some output
// channels into order as it comes to use them, once.
class Layer {
 public:
  Layer(const Volume& size, int in_channels, int out_channels, const int* taps, int stride, const float* kernel,
        const float* bias, int threads)
      : size(size), out_size{(size.depth - 1) / stride + 1, (size.height - 1) / stride + 1, (size.width - 1) / stride + 1},
        in_channels(in_channels), out_channels(out_channels), stride(stride), taps{taps[0], taps[1], taps[2]},
        num_blocks((out_channels + BLOCK - 1) / BLOCK), length(int64_t(in_channels) * taps[0] * taps[1] * taps[2]),
        row((size.width + taps[2] - 1) * int64_t(GROUP)), group((size.height + taps[1] - 1) * row),
        plane(in_channels / GROUP * group), is_deep(length * out_channels > plane * size.depth), kernel(kernel),
        bias(bias), weights(is_deep ? threads : 1, is_deep ? length * BLOCK : length * out_channels) {
    if (is_deep) return;
#pragma omp parallel for num_threads(threads)
    for (int block = 0; block < num_blocks; block++) order_weights(block, weights.of(0) + block * BLOCK * length);
  }

  const Volume& output() const { return out_size; }
  const float* weights_of(int out_channel) const { return kernel + out_channel * length; }

  // A row of a layer of one voxel; the input's row is kept in order.
  void compute_row(const Field& in, int d, int h, float* in_row, float* out_row) const {
    in.read(size, d, h, in_row, GROUP, int64_t(size.width) * GROUP);
    Window window{{in_row}, int64_t(size.width) * GROUP, 0, in_channels / GROUP, 1, 1};
    for (int block = 0; block < num_blocks; block++) {
      Tiles some = choose_some(block);
      const float* ordered = weights.of(0) + block * BLOCK * length;
      some(window, 0, ordered, bias ? bias + block * BLOCK : nullptr, out_row + block * BLOCK, out_channels, size.width);
    }
  }

  // Floats that each thread needs.
  int64_t scratch(int threads) const { return is_deep ? (plane * size.depth + threads - 1) / threads : plane * taps[0]; }

  // The output, and what its norm needs, if anything does.
  void compute(const Field& in, float* out, Moments* moments, Scratch& scratch, int threads) const {
    if (moments) moments->clear();
    if (is_deep) return compute_deep(in, out, moments, scratch, threads);
    int along_depth = std::min(threads, out_size.depth), margin = taps[0] / 2;
    int along_channels = std::max(1, std::min(num_blocks, threads / along_depth));
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int part = 0; part < along_depth * along_channels; part++) {
      int begin = int64_t(out_size.depth) * (part % along_depth) / along_depth;
      int end = int64_t(out_size.depth) * (part % along_depth + 1) / along_depth, some = part / along_depth;
      float* planes = scratch.of(part);
      std::memset(planes, 0, plane * taps[0] * sizeof(float));
      for (int d = begin, filled = std::max(0, begin * stride - margin); d < end; d++) {
        for (int last = std::min(size.depth - 1, d * stride + margin); filled <= last; filled++)
          if (is_read(filled, taps[0])) fill(in, filled, planes + filled % taps[0] * plane);
        for (int block = num_blocks * some / along_channels; block < num_blocks * (some + 1) / along_channels; block++)
          compute_plane(planes, taps[0], d, block, weights.of(0) + block * BLOCK * length, out, moments);
      }
    }
  }

 private:
  static constexpr int BLOCK = 2 * LANES;  // output channels that are computed together

  int channels_of(int block) const { return std::min(BLOCK, out_channels - block * BLOCK); }

  Tiles choose_some(int block) const {
    return channels_of(block) == LANES ? choose_tiles<1>(stride, taps[2]) : choose_tiles<2>(stride, taps[2]);
  }

  // By group of input channels, tap, input channel, output channel.
  void order_weights(int block, float* to) const {
    int channels = channels_of(block), volume = taps[0] * taps[1] * taps[2];
    for (int o = 0; o < channels; o += LANES) {
      const float* from = kernel + (block * BLOCK + o) * length;
      for (int64_t first = 0; first < length; first += LANES) {
        Vector square[LANES];
        for (int k = 0; k < LANES; k++) square[k] = load(from + k * length + first);
        transpose(square);
        int c = first / volume, t = first % volume;
        for (int k = 0; k < LANES; k++) {
          store(to + ((int64_t(c / GROUP) * volume + t) * GROUP + c % GROUP) * channels + o, square[k]);
          if (++t == volume) t = 0, c++;
        }
      }
    }
  }

  // Whether a plane, or a row, is read at all.
  bool is_read(int place, int length) const { return length > 1 || place % stride == 0; }

  void fill(const Field& in, int d, float* to) const {
    for (int h = 0; h < size.height; h++)
      if (is_read(h, taps[1])) in.read(size, d, h, to + (h + taps[1] / 2) * row + taps[2] / 2 * GROUP, GROUP, group);
  }

  void compute_deep(const Field& in, float* out, Moments* moments, Scratch& scratch, int threads) const {
    float* planes = scratch.of(0);
#pragma omp parallel num_threads(threads)
    {
#pragma omp for
      for (int d = 0; d < size.depth; d++) {
        std::memset(planes + d * plane, 0, plane * sizeof(float));
        if (is_read(d, taps[0])) fill(in, d, planes + d * plane);
      }
#pragma omp for schedule(static, 1)
      for (int block = 0; block < num_blocks; block++) {
        float* own = weights.of(omp_get_thread_num());
        order_weights(block, own);
        for (int d = 0; d < out_size.depth; d++) compute_plane(planes, size.depth, d, block, own, out, moments);
      }
    }
  }

  // A plane of the output, from a number of planes that are kept.
  void compute_plane(const float* planes, int kept, int d, int block, const float* ordered, float* out,
                     Moments* moments) const {
    Window window{{}, group, row, in_channels / GROUP, taps[0], taps[1]};
    for (int k = 0; k < taps[0]; k++) {
      int from = d * stride + k - taps[0] / 2;
      window.plane[k] = from < 0 || from >= size.depth ? nullptr : planes + from % kept * plane;
    }
    int first = block * BLOCK, vectors = channels_of(block) / LANES;
    Tiles some = choose_some(block);
    for (int h = 0; h < out_size.height; h++) {
      float* to = out + (int64_t(d) * out_size.height + h) * out_size.width * out_channels + first;
      some(window, h * stride * row, ordered, bias ? bias + first : nullptr, to, out_channels, out_size.width);
      if (moments)
        for (int k = 0; k < vectors; k++)
          moments->add(d, first + k * LANES, to + k * LANES, out_channels, out_size.width);
    }
  }

  const Volume size, out_size;
  const int in_channels, out_channels, stride, taps[3], num_blocks;
  const int64_t length, row, group, plane;  // of the weights of an output channel; in floats
  const bool is_deep;
  const float *kernel, *bias;
  Scratch weights;
};

// A layer of one voxel that is computed as it is read, row by row, and never stored.
struct Computed {
  const Layer& layer;
  const Field& in;
  const Scratch& rows;  // of a thread: a row of the input and one of the output
  int64_t in_length;    // of a row

  const float* row(int d, int h) const {
    float *in_row = rows.of(omp_get_thread_num()), *out_row = in_row + in_length;
    layer.compute_row(in, d, h, in_row, out_row);
    return out_row;
  }
};

inline const float* Field::row_of(const Computed& computed, int d, int h) { return computed.row(d, h); }

// Means of all channels and of the products of any two of them: mean and variance of any layer of one voxel follow. All
// in double precision, so that nothing is lost in the difference of large numbers. They do not depend on the threads.
class Products {
 public:
  Products(const Volume& size, int channels, int threads)
      : size(size), channels(channels), parts(std::min<int64_t>(PARTS, int64_t(size.depth) * size.height)),
        length(int64_t(channels) * (channels + 1)), sums(parts * length),
        rows(threads, int64_t(size.width) * channels * 3) {}

  void compute(const Field& in, int threads) {
    std::fill(sums.begin(), sums.end(), 0.0);
    int64_t count = int64_t(size.depth) * size.height;
#pragma omp parallel for num_threads(threads)
    for (int part = 0; part < parts; part++)
      for (int64_t r = count * part / parts; r < count * (part + 1) / parts; r++)
        add(in, r, rows.of(omp_get_thread_num()), sums.data() + part * length);
    for (int part = 1; part < parts; part++)
      for (int64_t i = 0; i < length; i++) sums[i] += sums[part * length + i];
    for (int i = 0; i < channels; i++)
      for (int j = 0; j < i; j++) sums[int64_t(i) * channels + j] = sums[int64_t(j) * channels + i];
    for (double& sum : sums) sum /= size.size();
  }

  // The instance norm of a channel of the layer: what to multiply by, and then to add.
  void norm(const float* weights, double eps, double& scale, double& shift) const {
    double mean = 0.0, square = 0.0;
    for (int i = 0; i < channels; i++) {
      const double* of_channel = sums.data() + int64_t(i) * channels;
      double sum = 0.0;
      for (int j = 0; j < channels; j++) sum += of_channel[j] * weights[j];
      square += sum * weights[i], mean += sums[int64_t(channels) * channels + i] * weights[i];
    }
    double variance = square - mean * mean;
    scale = 1.0 / std::sqrt((variance < 0.0 ? 0.0 : variance) + eps);
    shift = -mean * scale;
  }

 private:
  static constexpr int PARTS = 32, AT_ONCE = 4, WIDE = LANES / 2;
  typedef double Wide __attribute__((vector_size(WIDE * sizeof(double)), aligned(sizeof(double))));

  // A row; of the products, each of two channels once or twice.
  void add(const Field& in, int64_t r, float* row, double* to) const {
    in.read(size, r / size.height, r % size.height, row, channels, GROUP);
    double* wide = reinterpret_cast<double*>(row + int64_t(size.width) * channels);
    for (int64_t i = 0; i < int64_t(size.width) * channels; i++) wide[i] = row[i];
    auto at = [&](int w, int c) { return *reinterpret_cast<const Wide*>(wide + int64_t(w) * channels + c); };
    for (int c = 0; c < channels; c += WIDE) {
      Wide sum{};
      for (int w = 0; w < size.width; w++) sum += at(w, c);
      *reinterpret_cast<Wide*>(to + int64_t(channels) * channels + c) += sum;
    }
    for (int j = 0; j < channels; j += 2 * WIDE)
      for (int i = 0; i < j + 2 * WIDE; i += AT_ONCE) {
        Wide products[AT_ONCE][2]{};
        for (int w = 0; w < size.width; w++) {
          Wide first = at(w, j), second = at(w, j + WIDE);
          const double* other = wide + int64_t(w) * channels + i;
          for (int k = 0; k < AT_ONCE; k++) products[k][0] += first * other[k], products[k][1] += second * other[k];
        }
        for (int k = 0; k < AT_ONCE; k++)
          for (int v = 0; v < 2; v++)
            *reinterpret_cast<Wide*>(to + int64_t(i + k) * channels + j + v * WIDE) += products[k][v];
      }
  }

  const Volume size;
  int channels, parts;
  int64_t length;
  std::vector<double> sums;
  Scratch rows;
};

}  // namespace
