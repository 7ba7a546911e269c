// What stands between the convolutions of residual blocks, float32 on a CPU: instance norm, and the two layers of one
// voxel with a GELU between them, whose many channels in the middle stay in the cache. The norm before them is applied as
// they read.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <new>
#include <vector>

#include <omp.h>

#include "vectors.hpp"

namespace {

constexpr int VECTORS = 4;  // of voxels that are computed together
constexpr int VOXELS = VECTORS * LANES;
constexpr int BLOCK = REGISTERS == 32 ? 6 : 2;  // output channels that are computed together

// x times the share of a normal distribution below x. The share is 1/2 + x P(x^2) / Q(x^2), fitted to 1.2e-8.
inline Vector gelu(Vector x) {
  constexpr float limit = 5.7f;  // beyond, the share is 0 or 1 to within a float's rounding
  constexpr float p[] = {0.3989422023296356f,     0.034941159188747406f,  0.004740828648209572f,
                         0.00017939387180376798f, 6.374168151523918e-06f, 2.1580190079362183e-08f};
  constexpr float q[] = {1.0f,                    0.2542499601840973f,   0.02926068753004074f,
                         0.001944553223438561f, 7.676776294829324e-05f, 1.1649578937067417e-06f};
  Vector square = x * x, above = every(p[5]), below = every(q[5]);
  for (int i = 4; i >= 0; i--) above = above * square + p[i], below = below * square + q[i];
  Vector share = 0.5f + x * above / below;
  share = x > limit ? every(1.0f) : share;
  return x < -limit ? every(0.0f) : x * share;
}

// Some output channels of a layer of one voxel, for some vectors of voxels.
template <int CHANNELS>
void product(const float* in, int64_t in_stride, int in_channels, const float* weight, const float* bias, float* out,
             int64_t out_stride) {
  Vector sums[CHANNELS][VECTORS];
  for (int o = 0; o < CHANNELS; o++)
    for (int v = 0; v < VECTORS; v++) sums[o][v] = every(bias ? bias[o] : 0.0f);
  for (int c = 0; c < in_channels; c++, in += in_stride) {
    Vector values[VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) values[v] = load(in + v * LANES);
#pragma GCC unroll 6
    for (int o = 0; o < CHANNELS; o++) {
      Vector factor = every(weight[int64_t(o) * in_channels + c]);
#pragma GCC unroll 4
      for (int v = 0; v < VECTORS; v++) sums[o][v] += factor * values[v];
    }
  }
  for (int o = 0; o < CHANNELS; o++)
    for (int v = 0; v < VECTORS; v++) store(out + o * out_stride + v * LANES, sums[o][v]);
}

// All output channels.
void products(const float* in, int64_t in_stride, int in_channels, const float* weight, const float* bias,
              int out_channels, float* out, int64_t out_stride) {
  for (int o = 0; o < out_channels;) {
    bool whole = out_channels - o >= BLOCK;
    auto some = whole ? product<BLOCK> : product<1>;
    some(in, in_stride, in_channels, weight + int64_t(o) * in_channels, bias ? bias + o : nullptr,
         out + o * out_stride, out_stride);
    o += whole ? BLOCK : 1;
  }
}

// What an instance norm does with a channel: (x - mean) * factor + shift.
struct Norm {
  float mean = 0.0f, factor = 1.0f, shift = 0.0f;

  Norm() = default;

  // Read once, in parts that the cache holds: of each the mean, and then the squared distances from it.
  Norm(const float* from, int64_t size, float weight, float bias, double eps) {
    constexpr int64_t PART = 4096;  // values whose sum is a float's
    double within = 0.0, means = 0.0, squares = 0.0;
    for (int64_t begin = 0; begin < size; begin += PART) {
      const float* part = from + begin;
      int64_t length = std::min(PART, size - begin);
      double exact = part[0] + sum(part, length, part[0], false) / length;  // less is rounded away near a value
      float rounded = exact;
      within += sum(part, length, rounded, true) - length * (exact - rounded) * (exact - rounded);
      means += length * exact, squares += length * exact * exact;
    }
    double exact = means / size, between = squares / size - exact * exact;
    double deviation = std::sqrt(within / size + (between < 0.0 ? 0.0 : between) + eps);
    mean = exact, factor = weight / deviation, shift = bias;
  }

  void apply(const float* from, float* to, int64_t count) const {
    for (int64_t i = 0; i < count; i++) to[i] = (from[i] - mean) * factor + shift;
  }

 private:
  // Of distances from a value, or of their squares.
  static double sum(const float* from, int64_t length, float value, bool squared) {
    int64_t i = 0;
    double total = 0.0;
    Vector sums{}, others{};
    for (; i + 2 * LANES <= length; i += 2 * LANES) {
      Vector a = load(from + i) - value, b = load(from + i + LANES) - value;
      sums += squared ? a * a : a;
      others += squared ? b * b : b;
    }
    sums += others;
    for (int lane = 0; lane < LANES; lane++) total += sums[lane];
    for (; i < length; i++) total += squared ? double(from[i] - value) * (from[i] - value) : double(from[i] - value);
    return total;
  }
};

}  // namespace

extern "C" {

// Every channel of every sample less its mean, by its standard deviation, then times the weight and plus the bias.
int lunet_instance_norm(const float* in, int64_t samples, int channels, const float* weight, const float* bias,
                        double eps, float* out, int64_t size, int threads) {
#pragma omp parallel for num_threads(threads)
  for (int64_t each = 0; each < samples * channels; each++) {
    int channel = each % channels;
    Norm norm(in + each * size, size, weight ? weight[channel] : 1.0f, bias ? bias[channel] : 0.0f, eps);
    norm.apply(in + each * size, out + each * size, size);
  }
  return DONE;
}

// An instance norm, if it has weights, then a layer of one voxel, a GELU, another such layer, and the residual added.
int lunet_perceptron(const float* in, const float* norm_weight, const float* norm_bias, double eps,
                     const float* residual, int64_t samples, int channels, int hidden,
                     int out_channels, const float* weight, const float* bias, const float* out_weight,
                     const float* out_bias, float* out, int64_t size, int threads) try {
  int64_t parts = (size + VOXELS - 1) / VOXELS;
  Scratch scratch(threads, int64_t(channels + hidden + out_channels) * VOXELS);
  std::vector<Norm> norms(norm_weight ? samples * channels : 0);
#pragma omp parallel num_threads(threads)
  {
#pragma omp for
    for (size_t each = 0; each < norms.size(); each++)
      norms[each] = Norm(in + each * size, size, norm_weight[each % channels], norm_bias[each % channels], eps);
    float *voxels = scratch.of(omp_get_thread_num()), *inside = voxels + channels * VOXELS;
    float* result = inside + hidden * VOXELS;
    std::fill(voxels, inside, 0.0f);  // also beyond the end of the volume
#pragma omp for
    for (int64_t part = 0; part < samples * parts; part++) {
      int64_t sample = part / parts, begin = part % parts * VOXELS;
      int count = std::min<int64_t>(VOXELS, size - begin);
      const float* from = in + sample * channels * size + begin;
      for (int c = 0; c < channels; c++)
        if (norm_weight) norms[sample * channels + c].apply(from + c * size, &voxels[c * VOXELS], count);
        else std::copy_n(from + c * size, count, &voxels[c * VOXELS]);
      products(voxels, VOXELS, channels, weight, bias, hidden, inside, VOXELS);
      for (int i = 0; i < hidden * VOXELS; i += LANES) store(&inside[i], gelu(load(&inside[i])));
      products(inside, VOXELS, hidden, out_weight, out_bias, out_channels, result, VOXELS);
      for (int o = 0; o < out_channels; o++) {
        int64_t place = (sample * out_channels + o) * size + begin;
        for (int v = 0; v < count; v++) out[place + v] = residual[place + v] + result[o * VOXELS + v];
      }
    }
  }
  return DONE;
} catch (const std::bad_alloc&) {
  return OUT_OF_MEMORY;
}
}
