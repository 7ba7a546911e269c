// An affine resampling of images and labels on a CPU in one pass: no grid of coordinates is made.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include <omp.h>

namespace {

struct Size {
  int depth, height, width;
  int64_t voxels() const { return int64_t(depth) * height * width; }
};

// One axis of the place in the input that a voxel of the output takes its value from.
struct Axis {
  float step[3], start;
  int length;
  // Kept near the volume, so that whole numbers hold it; what lies outside of it stays outside.
  float at(float before, float w) const {
    return std::min(std::max(-2.0f, before + step[2] * w), float(length) + 1.0f);
  }
  float before(int d, int h) const { return step[0] * d + step[1] * h + start; }
};

inline int floor_of(float value) {
  int whole = int(value);
  return whole - (float(whole) > value);
}

// The nearest whole number, of two equally near ones the even one, as PyTorch has it.
inline int nearest(float value) {
  constexpr float large = 12582912.0f;  // 1.5 * 2^23: its last bit counts ones
  return int((value + large) - large);
}

inline bool inside(int index, int length) { return unsigned(index) < unsigned(length); }

// The value of one voxel of the input, 0 outside of it.
inline float value_at(const float* input, Size in, int d, int h, int w) {
  // By masks: GCC makes vectors of these, but not of choices between values.
  int mask = -int(inside(d, in.depth) & inside(h, in.height) & inside(w, in.width));
  float value = input[((d * in.height + h) * in.width + w) & mask];
  return __builtin_bit_cast(float, __builtin_bit_cast(int, value) & mask);
}

// Along the last two axes, between four voxels of one plane.
inline float between_four(const float* input, Size in, int d, int h, int w, float th, float tw) {
  float low = (1 - tw) * value_at(input, in, d, h, w) + tw * value_at(input, in, d, h, w + 1);
  float high = (1 - tw) * value_at(input, in, d, h + 1, w) + tw * value_at(input, in, d, h + 1, w + 1);
  return (1 - th) * low + th * high;
}

template <bool FLAT>
void linear_row(const float* input, Size in, Axis along_d, Axis along_h, Axis along_w, int d, int h, float* output,
                int width) {
  float z0 = along_d.before(d, h), y0 = along_h.before(d, h), x0 = along_w.before(d, h);
#pragma omp simd
  for (int i = 0; i < width; i++) {
    float y = along_h.at(y0, i), x = along_w.at(x0, i);
    int iy = floor_of(y), ix = floor_of(x);
    if (FLAT) {
      output[i] = between_four(input, in, 0, iy, ix, y - iy, x - ix);
    } else {
      float z = along_d.at(z0, i);
      int iz = floor_of(z);
      float low = between_four(input, in, iz, iy, ix, y - iy, x - ix);
      float high = between_four(input, in, iz + 1, iy, ix, y - iy, x - ix);
      output[i] = (1 - (z - iz)) * low + (z - iz) * high;
    }
  }
}

void nearest_row(const float* input, Size in, Axis along_d, Axis along_h, Axis along_w, int d, int h, float* output,
                 int width) {
  float z0 = along_d.before(d, h), y0 = along_h.before(d, h), x0 = along_w.before(d, h);
#pragma omp simd
  for (int i = 0; i < width; i++)
    output[i] = value_at(input, in, nearest(along_d.at(z0, i)), nearest(along_h.at(y0, i)), nearest(along_w.at(x0, i)));
}

}  // namespace

// matrix: three rows of four, from voxels of the output to those of the input. A picture has a depth of 1.
extern "C" void lunet_affine(const float* input, int channels, int depth, int height, int width, const float* matrix,
                             int linear, float* output, int out_depth, int out_height, int out_width, int threads) {
  Size in{depth, height, width}, out{out_depth, out_height, out_width};
  Axis axes[3];
  for (int i = 0; i < 3; i++) {
    const float* row = matrix + 4 * i;
    axes[i] = {{row[0], row[1], row[2]}, row[3], i == 0 ? depth : i == 1 ? height : width};
  }
  const Axis& first = axes[0];
  bool flat = depth == 1 && !first.step[0] && !first.step[1] && !first.step[2] && !first.start;
#pragma omp parallel for collapse(2) num_threads(threads)
  for (int channel = 0; channel < channels; channel++)
    for (int d = 0; d < out_depth; d++)
      for (int h = 0; h < out_height; h++) {
        const float* from = input + channel * in.voxels();
        float* to = output + channel * out.voxels() + (int64_t(d) * out_height + h) * out_width;
        auto row = !linear ? nearest_row : flat ? linear_row<true> : linear_row<false>;
        row(from, in, axes[0], axes[1], axes[2], d, h, to, out_width);
      }
}
