// Training of what joins the levels of a network, max pooling and transposed convolution, and of its head.
#include <omp.h>

#include "training.hpp"

namespace {

inline float greater(float a, float b) { return a > b || a != a ? a : b; }  // NaN if one of them is

inline Vector greater(Vector a, Vector b) { return ((a > b) | (a != a)) ? a : b; }

// The greatest of four rows, or the least if the sign is negative: then negative.
void greatest_row(const float* const* rows, float sign, float* to, int n) {
  int i = 0;
  for (; i + LANES <= n; i += LANES) {
    Vector x[4];
    for (int k = 0; k < 4; k++) x[k] = sign * load(rows[k] + i);
    store(to + i, greater(greater(x[0], x[1]), greater(x[2], x[3])));
  }
  for (; i < n; i++)
    to[i] = greater(greater(sign * rows[0][i], sign * rows[1][i]), greater(sign * rows[2][i], sign * rows[3][i]));
}

// Gives the gradient in `left` to the voxels that were taken, the first of each window.
void give_row(const float* __restrict x, const float* __restrict taken, float* __restrict left, float* __restrict to,
              int n) {
  for (int w = 0; w < n; w++) {
    const float t = taken[w], g = left[w], a = x[2 * w], b = x[2 * w + 1];
    const bool first = a == t || a != a, second = b == t || b != b;
    to[2 * w] = first ? g : 0.0f;
    const float rest = first ? 0.0f : g;
    to[2 * w + 1] = second ? rest : 0.0f;
    left[w] = second ? 0.0f : rest;
  }
}

struct Doubling {  // of one plane: T is 2 in 3D, 1 in 2D
  int D, H, W, O, T;
  int64_t HW, padded;
  Doubling(int D, int H, int W, int O, int T)
      : D(D), H(H), W(W), O(O), T(T), HW(int64_t(H) * W), padded(whole_vectors(HW)) {}
  int rows() const { return 2 * T; }  // of a voxel's patch
  int64_t row(int n, int d, int o, int k) const {
    return (((int64_t(n) * O + o) * T * D + T * d + k / 2) * 2 * H + k % 2) * 2 * W;
  }
};

void read_plane(const LunetInput& input, const Doubling& shape, int n, int d, float* x) {
  for (int c = 0; c < input.channels; c++) {
    const int64_t k = n * input.channels + c;
    const float* from = input.data + (k * shape.D + d) * shape.HW;
    if (input.scale)
      scale_row(x + c * shape.padded, from, scale_of(input, k), shift_of(input, k), shape.HW);
    else
      std::memcpy(x + c * shape.padded, from, shape.HW * sizeof(float));
  }
}

// Row k of the patches of output o: even and odd columns, each a plane of the input's size.
void double_plane(const float* x, int64_t padded, int C, int O, int J, const float* weight, float bias, float* even,
                  float* odd) {
  for (int64_t i = 0; i < padded; i += LANES) {
    Vector e = every(bias), f = e;
    for (int c = 0; c < C; c++) {
      const float* w = weight + int64_t(c) * O * J;
      const Vector v = load(x + c * padded + i);
      e += w[0] * v, f += w[1] * v;
    }
    store(even + i, e), store(odd + i, f);
  }
}

// to = constant + the sum of weights[k] * rows[k]
void combine_rows(const float* const* rows, const float* weights, int n_rows, float constant, float* to, int64_t n) {
  int64_t i = 0;
  for (; i + 4 * LANES <= n; i += 4 * LANES) {
    Vector sums[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) sums[v] = every(constant);
    for (int k = 0; k < n_rows; k++) {
      const Vector w = every(weights[k]);
#pragma GCC unroll 4
      for (int v = 0; v < 4; v++) sums[v] += w * load(rows[k] + i + v * LANES);
    }
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) store(to + i + v * LANES, sums[v]);
  }
  for (; i < n; i++) {
    float sum = constant;
    for (int k = 0; k < n_rows; k++) sum += weights[k] * rows[k][i];
    to[i] = sum;
  }
}

constexpr int64_t HEAD_STEP = 1024;  // voxels whose inputs and outputs stay in the cache of a core

}  // namespace

extern "C" {

// Max pooling (kernel 2) of scale * r + shift, told in r: the greatest of a window, the least where the scale is
// negative, the first where it is 0.
int lunet_pool_forward(const float* r, const double* scale, int64_t channels, int D, int H, int W, int taps, float* out,
                       int threads) {
  return guarded([&] {
    const int d2 = D / taps, h2 = H / 2, w2 = W / 2;
    Scratch memory(threads, W);
#pragma omp parallel for num_threads(threads)
    for (int64_t plane = 0; plane < channels * d2; plane++) {
      const int64_t k = plane / d2;
      const float sign = !scale || scale[k] > 0 || scale[k] != scale[k] ? 1 : scale[k] < 0 ? -1 : 0;
      float* most = memory.of(omp_get_thread_num());
      for (int h = 0; h < h2; h++) {
        const float* a = r + ((k * D + plane % d2 * taps) * H + 2 * h) * W;
        const float *b = a + W, *c = taps == 2 ? a + int64_t(H) * W : a, *d = c + W;
        float* to = out + (plane * h2 + h) * w2;
        if (sign == 0) {
          for (int w = 0; w < w2; w++) to[w] = a[2 * w];
          continue;
        }
        const float* const rows[] = {a, b, c, d};
        greatest_row(rows, sign, most, W);
        for (int w = 0; w < w2; w++) to[w] = sign * greater(most[2 * w], most[2 * w + 1]);
      }
    }
  });
}

// Fills d_r; what no window covers, if a size is odd, has to be 0 before.
int lunet_pool_backward(const float* r, const float* out, const float* d_out, int64_t channels, int D, int H, int W,
                        int taps, float* d_r, int threads) {
  return guarded([&] {
    const int d2 = D / taps, h2 = H / 2, w2 = W / 2;
    Scratch memory(threads, w2);
#pragma omp parallel for num_threads(threads)
    for (int64_t plane = 0; plane < channels * d2; plane++) {
      float* left = memory.of(omp_get_thread_num());
      for (int h = 0; h < h2; h++) {
        const int64_t window = (plane * h2 + h) * w2;
        std::memcpy(left, d_out + window, w2 * sizeof(float));
        for (int row = 0; row < 2 * taps; row++) {
          const int64_t at = ((plane / d2 * D + plane % d2 * taps + row / 2) * H + 2 * h + row % 2) * W;
          give_row(r + at, out + window, left, d_r + at, w2);
        }
      }
    }
  });
}

// Transposed convolution, kernel 2 and stride 2, weight (C, O, [2,] 2, 2).
int lunet_up_forward(const LunetInput* inputs, int N, int D, int H, int W, int taps, int O, const float* weight,
                     const float* bias, float* out, int threads) {
  return guarded([&] {
    const LunetInput& input = *inputs;
    const Doubling shape(D, H, W, O, taps);
    const int C = input.channels, J = 2 * shape.rows();
    Scratch x_memory(threads, C * shape.padded), columns(threads, 2 * shape.padded);
#pragma omp parallel for num_threads(threads) collapse(2) schedule(dynamic, 4)
    for (int n = 0; n < N; n++)
      for (int d = 0; d < D; d++) {
        float *x = x_memory.of(omp_get_thread_num()), *even = columns.of(omp_get_thread_num());
        float* odd = even + shape.padded;
        read_plane(input, shape, n, d, x);
        for (int o = 0; o < O; o++)
          for (int k = 0; k < shape.rows(); k++) {
            double_plane(x, shape.padded, C, O, J, weight + o * J + 2 * k, bias ? bias[o] : 0, even, odd);
            float* to = out + shape.row(n, d, o, k);
            for (int h = 0; h < H; h++) {
              const float *__restrict e = even + h * W, *__restrict f = odd + h * W;
              float* __restrict row = to + int64_t(h) * 4 * W;
              for (int w = 0; w < W; w++) row[2 * w] = e[w], row[2 * w + 1] = f[w];
            }
          }
      }
  });
}

int lunet_up_backward(const LunetInput* inputs, int N, int D, int H, int W, int taps, int O, const float* weight,
                      const float* d_out, float* d_weight, float* d_bias, int threads) {
  return guarded([&] {
    const LunetInput& input = *inputs;
    const Doubling shape(D, H, W, O, taps);
    const int C = input.channels, J = 2 * shape.rows() * O;
    const int64_t padded = shape.padded, HW = shape.HW, tasks = int64_t(N) * D;
    Scratch x_memory(threads, C * padded), patch_memory(threads, J * padded), y_memory(threads, padded + 4 * LANES);
    std::vector<float> d_weights(tasks * C * J), d_biases(tasks * O);
    std::vector<double> d_scales(tasks * C * 2);
#pragma omp parallel for num_threads(threads) collapse(2) schedule(dynamic, 4)
    for (int n = 0; n < N; n++)
      for (int d = 0; d < D; d++) {
        const int64_t task = int64_t(n) * D + d;
        const int thread = omp_get_thread_num();
        float *x = x_memory.of(thread), *patches = patch_memory.of(thread), *y = y_memory.of(thread);
        read_plane(input, shape, n, d, x);
        for (int o = 0; o < O; o++)
          for (int k = 0; k < shape.rows(); k++) {
            const float* from = d_out + shape.row(n, d, o, k);
            float *e = patches + 2 * (o * shape.rows() + k) * padded, *f = e + padded;
            for (int h = 0; h < H; h++, from += 4 * shape.W) {
              float *__restrict even = e + h * W, *__restrict odd = f + h * W;
              const float* __restrict row = from;
              for (int w = 0; w < W; w++) even[w] = row[2 * w], odd[w] = row[2 * w + 1];
            }
            d_biases[task * O + o] += sum_of(e, HW) + sum_of(f, HW);
          }
        for (int c = 0; c < C; c++) {
          for (int j = 0; j < J; j += 4) {
            Vector sums[4] = {};
            for (int64_t i = 0; i < padded; i += LANES) {
              const Vector v = load(x + c * padded + i);
#pragma GCC unroll 4
              for (int k = 0; k < 4; k++) sums[k] += v * load(patches + (j + k) * padded + i);
            }
            for (int k = 0; k < 4; k++) d_weights[(task * C + c) * J + j + k] = total(sums[k]);
          }
          if (!input.grad) continue;
          const int64_t channel = int64_t(n) * C + c, at = (channel * D + d) * HW;
          for (int64_t i = 0; i < padded; i += 4 * LANES) {
            Vector sums[4] = {};
            for (int j = 0; j < J; j++) {
              const Vector w = every(weight[int64_t(c) * J + j]);
#pragma GCC unroll 4
              for (int v = 0; v < 4; v++)
                sums[v] += w * load(patches + j * padded + std::min(i + v * LANES, padded - LANES));
            }
            for (int v = 0; v < 4; v++) store(y + i + v * LANES, sums[v]);
          }
          double* sums = &d_scales[(task * C + c) * 2];
          scale_and_sum(y, input.data + at, scale_of(input, channel), HW, sums[1], sums[0]);
          std::memcpy(input.grad + at, y, HW * sizeof(float));
        }
      }
    for (int64_t k = 0; k < int64_t(C) * J; k++) {
      double sum = 0;
      for (int64_t t = 0; t < tasks; t++) sum += d_weights[t * C * J + k];
      d_weight[k] = sum;
    }
    for (int o = 0; o < O; o++) {
      double sum = 0;
      for (int64_t t = 0; t < tasks; t++) sum += d_biases[t * O + o];
      d_bias[o] = sum;
    }
    for (int64_t k = 0; input.grad_scale && k < int64_t(N) * C; k++) {
      double to_scale = 0, to_shift = 0;
      for (int d = 0; d < D; d++) {
        const double* sums = &d_scales[((k / C * D + d) * C + k % C) * 2];
        to_scale += sums[0], to_shift += sums[1];
      }
      input.grad_scale[k] = to_scale, input.grad_shift[k] = to_shift;
    }
  });
}

// A convolution of one voxel to K channels.
int lunet_head_forward(const LunetInput* inputs, int N, int64_t size, int K, const float* weight, const float* bias,
                       float* out, int threads) {
  return guarded([&] {
    const LunetInput& input = *inputs;
    const int C = input.channels;
    const int64_t steps = (size + HEAD_STEP - 1) / HEAD_STEP;
    Scratch weight_memory(threads, C);
    std::vector<const float*> row_memory(threads * C);
#pragma omp parallel for num_threads(threads) collapse(2)
    for (int n = 0; n < N; n++)
      for (int64_t t = 0; t < steps; t++) {
        const int64_t begin = t * HEAD_STEP, length = std::min(HEAD_STEP, size - begin);
        float* weights = weight_memory.of(omp_get_thread_num());
        const float** rows = &row_memory[omp_get_thread_num() * C];
        for (int c = 0; c < C; c++) rows[c] = input.data + (int64_t(n) * C + c) * size + begin;
        for (int k = 0; k < K; k++) {
          float constant = bias ? bias[k] : 0;
          for (int c = 0; c < C; c++) {
            constant += weight[k * C + c] * shift_of(input, n * C + c);
            weights[c] = weight[k * C + c] * scale_of(input, n * C + c);
          }
          combine_rows(rows, weights, C, constant, out + (int64_t(n) * K + k) * size + begin, length);
        }
      }
  });
}

int lunet_head_backward(const LunetInput* inputs, int N, int64_t size, int K, const float* weight, const float* d_out,
                        float* d_weight, float* d_bias, int threads) {
  return guarded([&] {
    const LunetInput& input = *inputs;
    const int C = input.channels, M = K * C + K;
    const int64_t steps = (size + HEAD_STEP - 1) / HEAD_STEP;
    std::vector<float> parts(N * steps * M);  // sums of d * r for each output and channel, then of d
    Scratch weight_memory(threads, K);
    std::vector<const float*> row_memory(threads * K);
#pragma omp parallel for num_threads(threads) collapse(2)
    for (int n = 0; n < N; n++)
      for (int64_t t = 0; t < steps; t++) {
        const int64_t begin = t * HEAD_STEP, length = std::min(HEAD_STEP, size - begin);
        float *part = &parts[(n * steps + t) * M], *weights = weight_memory.of(omp_get_thread_num());
        const float** rows = &row_memory[omp_get_thread_num() * K];
        for (int k = 0; k < K; k++) {
          rows[k] = d_out + (int64_t(n) * K + k) * size + begin;
          part[K * C + k] = sum_of(rows[k], length);
        }
        for (int c = 0; c < C; c++) {
          const int64_t at = (int64_t(n) * C + c) * size + begin;
          for (int k = 0; k < K; k++) {
            part[k * C + c] = product_of(rows[k], input.data + at, length);
            weights[k] = scale_of(input, n * C + c) * weight[k * C + c];
          }
          if (input.grad) combine_rows(rows, weights, K, 0, input.grad + at, length);
        }
      }
    std::vector<double> d_weights(K * C), d_biases(K);
    for (int n = 0; n < N; n++) {
      std::vector<double> sums(M);
      for (int64_t t = 0; t < steps; t++)
        for (int m = 0; m < M; m++) sums[m] += parts[(n * steps + t) * M + m];
      for (int k = 0; k < K; k++) d_biases[k] += sums[K * C + k];
      for (int c = 0; c < C; c++) {
        const double a = scale_of(input, n * C + c), b = shift_of(input, n * C + c);
        double to_scale = 0, to_shift = 0;
        for (int k = 0; k < K; k++) {
          d_weights[k * C + c] += a * sums[k * C + c] + b * sums[K * C + k];
          to_scale += weight[k * C + c] * sums[k * C + c], to_shift += weight[k * C + c] * sums[K * C + k];
        }
        if (input.grad_scale) input.grad_scale[n * C + c] = to_scale, input.grad_shift[n * C + c] = to_shift;
      }
    }
    for (int k = 0; k < K * C; k++) d_weight[k] = d_weights[k];
    for (int k = 0; k < K; k++) d_bias[k] = d_biases[k];
  });
}
}
