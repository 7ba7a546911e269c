// What the kernels for training share: vectors, passes over rows, and how an input is described.
//
// A unit of a network is convolution -> ReLU -> batch norm with the batch's statistics -> channel dropout. Only
// r = relu(conv) is stored. Norm and dropout are a scale and a shift of each channel of each sample, which whoever reads
// r applies: y = scale * r + shift. All sums are added in an order that depends on the shapes alone, so that any number
// of threads gives the same bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

namespace {

// 256 bits also where the processor has 512: measured faster here, because short rows fill the vectors better.
#if defined(__AVX2__) || defined(__AVX512F__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif
#if defined(__AVX512VL__) || defined(__aarch64__)
#define LUNET_MANY_REGISTERS 1  // 32 of them instead of 16
#else
#define LUNET_MANY_REGISTERS 0
#endif

typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));
typedef float Unaligned __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float))));

inline Vector load(const float* from) { return *reinterpret_cast<const Unaligned*>(from); }
inline void store(float* to, Vector values) { *reinterpret_cast<Unaligned*>(to) = values; }
inline Vector every(float value) { return value - Vector{}; }

// Keeps a value in a register: GCC would load it again for each multiplication, and loads are what is scarce.
#if defined(__x86_64__)
#define LUNET_HOLD(value) asm("" : "+v"(value))
#elif defined(__aarch64__)
#define LUNET_HOLD(value) asm("" : "+w"(value))
#else
#define LUNET_HOLD(value)
#endif

inline float total(Vector v) {
  float lanes[LANES];
  store(lanes, v);
  for (int half = LANES / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
  return lanes[0];
}

inline int64_t whole_vectors(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

// Passes over a row, four vectors at a time: body(position, which of the four), and tail(position) for the rest.
template <class Body, class Tail>
inline void along(int64_t n, Body body, Tail tail) {
  int64_t i = 0;
  for (; i + 4 * LANES <= n; i += 4 * LANES)
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) body(i + v * LANES, v);
  for (; i + LANES <= n; i += LANES) body(i, 0);
  for (; i < n; i++) tail(i);
}

inline float total_of_four(const Vector* sums, float rest) {
  return total((sums[0] + sums[1]) + (sums[2] + sums[3])) + rest;
}

__attribute__((noinline, unused)) float sum_of(const float* x, int64_t n) {
  Vector sums[4] = {};
  float rest = 0;
  along(n, [&](int64_t i, int v) { sums[v] += load(x + i); }, [&](int64_t i) { rest += x[i]; });
  return total_of_four(sums, rest);
}

// Of (x - mean) ^ 2.
__attribute__((noinline, unused)) float squares_of(const float* x, int64_t n, float mean) {
  Vector sums[4] = {};
  float rest = 0;
  along(
      n,
      [&](int64_t i, int v) {
        Vector difference = load(x + i) - mean;
        sums[v] += difference * difference;
      },
      [&](int64_t i) { rest += (x[i] - mean) * (x[i] - mean); });
  return total_of_four(sums, rest);
}

__attribute__((noinline, unused)) float product_of(const float* x, const float* y, int64_t n) {
  Vector sums[4] = {};
  float rest = 0;
  along(n, [&](int64_t i, int v) { sums[v] += load(x + i) * load(y + i); }, [&](int64_t i) { rest += x[i] * y[i]; });
  return total_of_four(sums, rest);
}

// to = a * from + b
__attribute__((noinline, unused)) void scale_row(float* to, const float* from, float a, float b, int64_t n) {
  along(n, [&](int64_t i, int) { store(to + i, a * load(from + i) + b); }, [&](int64_t i) { to[i] = a * from[i] + b; });
}

// y becomes a * y; the sums of y and of y * r before that.
__attribute__((noinline, unused)) void scale_and_sum(float* y, const float* r, float a, int64_t n, double& sum,
                                                     double& product) {
  Vector sums[4] = {}, products[4] = {};
  float rest = 0, more = 0;
  along(
      n,
      [&](int64_t i, int v) {
        Vector g = load(y + i);
        sums[v] += g;
        products[v] += g * load(r + i);
        store(y + i, a * g);
      },
      [&](int64_t i) {
        rest += y[i];
        more += y[i] * r[i];
        y[i] *= a;
      });
  sum += total_of_four(sums, rest);
  product += total_of_four(products, more);
}

// A piece of zeros for each thread. Memory is allocated before a parallel region begins: an exception that is thrown
// inside would end the process.
struct Scratch {
  int64_t length;
  std::vector<float> values;
  Scratch(int threads, int64_t needed) : length(whole_vectors(needed) + 16), values(threads * length) {}
  float* of(int thread) { return values.data() + thread * length; }
};

enum Status { DONE = 0, OUT_OF_MEMORY = 1 };

template <class Body>
int guarded(Body body) {
  try {
    body();
    return DONE;
  } catch (const std::bad_alloc&) {
    return OUT_OF_MEMORY;
  }
}

}  // namespace

extern "C" {
// What a layer reads: scale[n][c] * data[n][c] + shift[n][c], or the data alone if there is no scale. The gradients are
// null if they are not wanted.
struct LunetInput {
  const float* data;
  const double *scale, *shift;
  float* grad;
  double *grad_scale, *grad_shift;
  int64_t channels;
};
}

namespace {
inline float scale_of(const LunetInput& input, int64_t k) { return input.scale ? input.scale[k] : 1.0f; }
inline float shift_of(const LunetInput& input, int64_t k) { return input.scale ? input.shift[k] : 0.0f; }
}  // namespace
