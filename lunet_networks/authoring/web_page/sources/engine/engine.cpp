// What a page calls to run a network: the kernels of the package, and plain layers for what they do not compute.
//
// One volume, float32, channels x depth x height x width; a picture is a volume of depth 1. Steps of the page's plan name
// these functions, see steps.py. A function returns nothing: memory that cannot be had ends the module.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "channels_last.hpp"
#include "vectors.hpp"

extern "C" {
int lunet_conv(const float* const*, const int*, int, int64_t, int, const float*, const float*, const float*,
               const float*, const float*, const float*, double, int, const float*, const float*, float*, int, int, int,
               int, int);
int lunet_depthwise(const float*, int64_t, int, const float*, const float*, float*, int, int, int, int, int);
int lunet_depthwise_upsample(const float*, int64_t, int, const float*, const float*, float*, int, int, int, int, int);
int lunet_pool(const float*, int64_t, float*, int, int, int, int, int);
int lunet_upsample(const float*, int64_t, int, int, const float*, const float*, float*, int, int, int, int, int);
int lunet_instance_norm(const float*, int64_t, int, const float*, const float*, double, float*, int64_t, int);
int lunet_perceptron(const float*, const float*, const float*, double, const float*, int64_t, int, int, int,
                     const float*, const float*, const float*, const float*, float*, int64_t, int);

// What the C++ library asks for and a page has no use of: there is one thread, which does not end, and no exceptions.
int __cxa_thread_atexit(void (*)(void*), void*, void*) { return 0; }
void* __cxa_allocate_exception(std::size_t) { __builtin_trap(); }
void __cxa_throw(void*, void*, void*) { __builtin_trap(); }
}

namespace {

constexpr int ROWS = 4, VECTORS = 4;  // output channels and vectors of voxels that a pointwise layer computes together

template <int CHANNELS>
void pointwise_part(const float* const* in, int in_channels, int64_t begin, const float* weight, const float* bias,
                    float* out, int64_t size) {
  Vector sums[CHANNELS][VECTORS];
  for (int o = 0; o < CHANNELS; o++)
    for (int v = 0; v < VECTORS; v++) sums[o][v] = every(bias ? bias[o] : 0.0f);
  for (int c = 0; c < in_channels; c++)
    for (int v = 0; v < VECTORS; v++) {
      Vector values = load(in[c] + begin + v * LANES);
      for (int o = 0; o < CHANNELS; o++) sums[o][v] += every(weight[o * in_channels + c]) * values;
    }
  for (int o = 0; o < CHANNELS; o++)
    for (int v = 0; v < VECTORS; v++) store(out + o * size + begin + v * LANES, sums[o][v]);
}

// From the first index that a tap reads inside the row, to one behind the last.
inline int first_inside(int tap, int stride) { return tap >= 0 ? 0 : (-tap + stride - 1) / stride; }
inline int behind_last(int tap, int stride, int length, int out_length) {
  int last = length - 1 - tap;
  return last < 0 ? 0 : std::min(out_length, last / stride + 1);
}

// The transpose of a matrix, in blocks that the cache holds.
void transpose(const float* in, int64_t rows, int64_t columns, float* out) {
  constexpr int64_t SIDE = 16;
  for (int64_t first = 0; first < rows; first += SIDE)
    for (int64_t begin = 0; begin < columns; begin += SIDE)
      for (int64_t r = first; r < std::min(first + SIDE, rows); r++)
        for (int64_t c = begin; c < std::min(begin + SIDE, columns); c++) out[c * rows + r] = in[r * columns + c];
}

enum Activation { RELU, LEAKY_RELU, GELU, HARD_SWISH, HARD_SIGMOID };

inline float activated(float x, int kind, float slope) {
  switch (kind) {
    case RELU: return x < 0 ? 0.0f : x;
    case LEAKY_RELU: return x < 0 ? slope * x : x;
    case GELU: return 0.5f * x * (1.0f + std::erf(x * 0.70710678118654752f));
    case HARD_SWISH: return x * std::min(std::max(x + 3.0f, 0.0f), 6.0f) / 6.0f;
    default: return std::min(std::max(x + 3.0f, 0.0f), 6.0f) / 6.0f;
  }
}

}  // namespace

extern "C" {

// ---- kernels of the package

void conv3(const float* const* in, const int* widths, int inputs, int out_channels, const float* kernel,
           const float* bias, const float* weight, const float* shift, const float* mean, const float* variance,
           double eps, int norm_first, const float* low, const float* high, float* out, int depth, int height,
           int width, int height_taps) {
  lunet_conv(in, widths, inputs, 1, out_channels, kernel, bias, weight, shift, mean, variance, eps, norm_first, low,
             high, out, depth, height, width, height_taps, 1);
}

// A convolution of many channels: groups of 16, one or three taps along an axis with zeros that keep the size, and one
// stride of 1 or 2. The kernel's volumes have the channels last.
void conv_wide(const float* in, int in_channels, int out_channels, const float* kernel, const float* bias, float* out,
               int depth, int height, int width, int depth_taps, int height_taps, int width_taps, int stride) {
  Volume size{depth, height, width};
  const int taps[] = {depth_taps, height_taps, width_taps};
  Layer layer(size, in_channels, out_channels, taps, stride, kernel, bias, 1);
  int64_t length = size.size(), out_length = layer.output().size();
  Scratch scratch(1, layer.scratch(1)), last(1, length * in_channels), out_last(1, out_length * out_channels);
  transpose(in, in_channels, length, last.of(0));
  layer.compute(Field{last.of(0), in_channels}, out_last.of(0), nullptr, scratch, 1);
  transpose(out_last.of(0), out_length, out_channels, out);
}

void depthwise3(const float* in, int channels, const float* kernel, const float* bias, float* out, int depth,
                int height, int width, int height_taps) {
  lunet_depthwise(in, 1, channels, kernel, bias, out, depth, height, width, height_taps, 1);
}

void depthwise_up3(const float* in, int channels, const float* kernel, const float* bias, float* out, int depth,
                   int height, int width, int depth_taps) {
  lunet_depthwise_upsample(in, 1, channels, kernel, bias, out, depth, height, width, depth_taps, 1);
}

void pool2(const float* in, int channels, float* out, int depth, int height, int width, int depth_taps) {
  lunet_pool(in, channels, out, depth, height, width, depth_taps, 1);
}

void up2(const float* in, int in_channels, int out_channels, const float* kernel, const float* bias, float* out,
         int depth, int height, int width, int depth_taps) {
  lunet_upsample(in, 1, in_channels, out_channels, kernel, bias, out, depth, height, width, depth_taps, 1);
}

void instance_norm(const float* in, int channels, const float* weight, const float* bias, double eps, float* out,
                   int size) {
  lunet_instance_norm(in, 1, channels, weight, bias, eps, out, size, 1);
}

void perceptron(const float* in, const float* residual, int channels, int hidden, int out_channels,
                const float* weight, const float* bias, const float* out_weight, const float* out_bias, float* out,
                int size) {
  lunet_perceptron(in, nullptr, nullptr, 0.0, residual, 1, channels, hidden, out_channels, weight, bias, out_weight,
                   out_bias, out, size, 1);
}

// ---- plain layers

// A convolution with a kernel of one voxel. in: a pointer for each channel.
void pointwise(const float* const* in, int in_channels, int out_channels, const float* weight, const float* bias,
               float* out, int size) {
  constexpr int STEP = VECTORS * LANES;
  int whole = size / STEP * STEP;
  for (int o = 0; o < out_channels;) {
    int count = out_channels - o >= ROWS ? ROWS : 1;
    const float* rows = weight + int64_t(o) * in_channels;
    const float* biases = bias ? bias + o : nullptr;
    auto part = count == ROWS ? pointwise_part<ROWS> : pointwise_part<1>;
    for (int begin = 0; begin < whole; begin += STEP)
      part(in, in_channels, begin, rows, biases, out + int64_t(o) * size, size);
    for (int k = 0; k < count; k++)
      for (int i = whole; i < size; i++) {
        float sum = biases ? biases[k] : 0.0f;
        for (int c = 0; c < in_channels; c++) sum += rows[k * in_channels + c] * in[c][i];
        out[int64_t(o + k) * size + i] = sum;
      }
    o += count;
  }
}

// Any convolution: kernel, stride and padding along depth, height and width, and groups of channels.
void convolution(const float* in, int in_channels, int depth, int height, int width, int out_channels, int out_depth,
                 int out_height, int out_width, const float* kernel, const float* bias, int groups, int kernel_d,
                 int kernel_h, int kernel_w, int stride_d, int stride_h, int stride_w, int pad_d, int pad_h, int pad_w,
                 float* out) {
  int ins = in_channels / groups, outs = out_channels / groups;
  for (int o = 0; o < out_channels; o++)
    for (int z = 0; z < out_depth; z++)
      for (int y = 0; y < out_height; y++) {
        float* to = out + ((int64_t(o) * out_depth + z) * out_height + y) * out_width;
        std::fill(to, to + out_width, bias ? bias[o] : 0.0f);
        for (int c = 0; c < ins; c++)
          for (int a = 0; a < kernel_d; a++)
            for (int b = 0; b < kernel_h; b++) {
              int d = z * stride_d + a - pad_d, h = y * stride_h + b - pad_h;
              if (d < 0 || d >= depth || h < 0 || h >= height) continue;
              const float* from = in + ((int64_t(o / outs * ins + c) * depth + d) * height + h) * width;
              const float* taps = kernel + (((int64_t(o) * ins + c) * kernel_d + a) * kernel_h + b) * kernel_w;
              for (int t = 0; t < kernel_w; t++) {
                int tap = t - pad_w, end = behind_last(tap, stride_w, width, out_width);
                if (stride_w == 1)
                  for (int x = first_inside(tap, 1); x < end; x++) to[x] += taps[t] * from[x + tap];
                else
                  for (int x = first_inside(tap, stride_w); x < end; x++) to[x] += taps[t] * from[x * stride_w + tap];
              }
            }
      }
}

// Any transposed convolution, with the same arguments.
void transposed(const float* in, int in_channels, int depth, int height, int width, int out_channels, int out_depth,
                int out_height, int out_width, const float* kernel, const float* bias, int groups, int kernel_d,
                int kernel_h, int kernel_w, int stride_d, int stride_h, int stride_w, int pad_d, int pad_h, int pad_w,
                float* out) {
  int ins = in_channels / groups, outs = out_channels / groups;
  int64_t size = int64_t(out_depth) * out_height * out_width;
  for (int o = 0; o < out_channels; o++) std::fill(out + o * size, out + (o + 1) * size, bias ? bias[o] : 0.0f);
  for (int o = 0; o < out_channels; o++)
    for (int k = 0; k < ins; k++)
      for (int d = 0; d < depth; d++)
        for (int h = 0; h < height; h++) {
          int c = o / outs * ins + k;
          const float* from = in + ((int64_t(c) * depth + d) * height + h) * width;
          for (int a = 0; a < kernel_d; a++)
            for (int b = 0; b < kernel_h; b++) {
              int z = d * stride_d + a - pad_d, y = h * stride_h + b - pad_h;
              if (z < 0 || z >= out_depth || y < 0 || y >= out_height) continue;
              float* to = out + ((int64_t(o) * out_depth + z) * out_height + y) * out_width;
              const float* taps = kernel + (((int64_t(c) * outs + o % outs) * kernel_d + a) * kernel_h + b) * kernel_w;
              for (int t = 0; t < kernel_w; t++)
                for (int x = 0; x < width; x++) {
                  int place = x * stride_w + t - pad_w;
                  if (place >= 0 && place < out_width) to[place] += taps[t] * from[x];
                }
            }
        }
}

// Each channel times a factor, plus a shift; either may be null.
void affine(const float* in, int channels, const float* scale, const float* shift, float* out, int size) {
  for (int c = 0; c < channels; c++)
    for (int64_t i = int64_t(c) * size; i < int64_t(c + 1) * size; i++)
      out[i] = in[i] * (scale ? scale[c] : 1.0f) + (shift ? shift[c] : 0.0f);
}

void activate(const float* in, float* out, int size, int kind, double slope) {
  for (int i = 0; i < size; i++) out[i] = activated(in[i], kind, slope);
}

void add(const float* a, const float* b, float* out, int size) {
  for (int i = 0; i < size; i++) out[i] = a[i] + b[i];
}

void multiply(const float* a, const float* b, float* out, int size) {
  for (int i = 0; i < size; i++) out[i] = a[i] * b[i];
}

void copy(const float* in, float* out, int size) { std::memcpy(out, in, size * sizeof(float)); }

void mean(const float* in, int channels, float* out, int size) {
  for (int c = 0; c < channels; c++) {
    double sum = 0;
    for (int i = 0; i < size; i++) sum += in[int64_t(c) * size + i];
    out[c] = float(sum / size);
  }
}

// A part of a volume, or one with zeros around it, or every second voxel: voxel i of the output along an axis is voxel
// i * step + from of the input.
void window(const float* in, int channels, int depth, int height, int width, int out_depth, int out_height,
            int out_width, int from_d, int from_h, int from_w, int step_d, int step_h, int step_w, float* out) {
  int begin = first_inside(from_w, step_w), end = behind_last(from_w, step_w, width, out_width);
  for (int c = 0; c < channels; c++)
    for (int z = 0; z < out_depth; z++)
      for (int y = 0; y < out_height; y++, out += out_width) {
        int d = z * step_d + from_d, h = y * step_h + from_h;
        std::fill(out, out + out_width, 0.0f);
        if (d < 0 || d >= depth || h < 0 || h >= height) continue;
        const float* from = in + ((int64_t(c) * depth + d) * height + h) * width + from_w;
        for (int x = begin; x < end; x++) out[x] = from[x * step_w];
      }
}

// Every voxel as often as the size grows.
void nearest(const float* in, int channels, int depth, int height, int width, int out_depth, int out_height,
             int out_width, float* out) {
  int d = out_depth / depth, h = out_height / height, w = out_width / width;
  for (int c = 0; c < channels; c++)
    for (int z = 0; z < out_depth; z++)
      for (int y = 0; y < out_height; y++)
        for (int x = 0; x < out_width; x++)
          *out++ = in[((int64_t(c) * depth + z / d) * height + y / h) * width + x / w];
}

// Between the pixels of a picture, whose corners stay where they are.
void bilinear(const float* in, int channels, int height, int width, int out_height, int out_width, float* out) {
  float step_h = float(height) / out_height, step_w = float(width) / out_width;
  for (int c = 0; c < channels; c++)
    for (int y = 0; y < out_height; y++) {
      float h = std::max(step_h * (y + 0.5f) - 0.5f, 0.0f);
      int top = int(h), bottom = std::min(top + 1, height - 1);
      const float *upper = in + (int64_t(c) * height + top) * width, *lower = in + (int64_t(c) * height + bottom) * width;
      for (int x = 0; x < out_width; x++) {
        float w = std::max(step_w * (x + 0.5f) - 0.5f, 0.0f), down = h - top;
        int left = int(w), right = std::min(left + 1, width - 1);
        float across = w - left;
        *out++ = (1 - down) * ((1 - across) * upper[left] + across * upper[right]) +
                 down * ((1 - across) * lower[left] + across * lower[right]);
      }
    }
}
}
