// Vectors of float32, as long as the processor has them, and memory that kernels need while they run.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16, REGISTERS = 32;
#elif defined(__AVX2__)
constexpr int LANES = 8, REGISTERS = 16;
#else
constexpr int LANES = 4, REGISTERS = 16;
#endif

typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));
typedef float Unaligned __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float))));

inline Vector load(const float* from) { return *reinterpret_cast<const Unaligned*>(from); }
inline void store(float* to, Vector values) { *reinterpret_cast<Unaligned*>(to) = values; }
inline Vector every(float value) { return value - Vector{}; }

// Lanes of two vectors in turn: of their first halves, or of their second ones.
template <int HALF, int... LANE>
inline Vector interleave(Vector a, Vector b, std::integer_sequence<int, LANE...>) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, (HALF * LANES / 2 + LANE / 2 + LANE % 2 * LANES)...);
#else
  typedef int Places __attribute__((vector_size(LANES * sizeof(int))));
  return __builtin_shuffle(a, b, Places{(HALF * LANES / 2 + LANE / 2 + LANE % 2 * LANES)...});
#endif
}

// Turns a square of values: lane j of vector i becomes lane i of vector j.
inline void transpose(Vector (&square)[LANES]) {
  constexpr std::make_integer_sequence<int, LANES> lanes{};
  for (int step = 1; step < LANES; step *= 2) {
    Vector before[LANES];
    for (int i = 0; i < LANES; i++) before[i] = square[i];
    for (int i = 0; i < LANES / 2; i++) {
      square[2 * i] = interleave<0>(before[i], before[i + LANES / 2], lanes);
      square[2 * i + 1] = interleave<1>(before[i], before[i + LANES / 2], lanes);
    }
  }
}

// What a function returns. An exception must not leave it, least of all one that is thrown inside a parallel region,
// where it would end the process. So memory is allocated before the region begins.
enum Status { DONE = 0, OUT_OF_MEMORY = 1 };

// A piece of memory for each thread, which begins where a vector may; its values are not set.
class Scratch {
 public:
  Scratch(std::size_t threads, std::size_t needed)
      : length((needed + LINE - 1) / LINE * LINE),
        values(static_cast<float*>(::operator new((threads * length + LINE) * sizeof(float), ALIGNMENT))) {}
  ~Scratch() { ::operator delete(values, ALIGNMENT); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  float* of(int thread) const { return values + thread * length; }

 private:
  static constexpr std::size_t LINE = 16;  // floats of a line of the cache
  static constexpr std::align_val_t ALIGNMENT{LINE * sizeof(float)};
  std::size_t length;
  float* values;
};

}  // namespace
