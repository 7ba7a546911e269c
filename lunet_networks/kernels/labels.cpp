// What a training step needs of logits and labels: the sums of a loss, their gradient, the labels and how many agree.
//
// A row is the voxels of a case, in chunks that fit the cache. Chunks are summed in the order of the voxels, whichever
// thread worked on them, so that results do not depend on the number of threads.
#include <algorithm>
#include <cstdint>

#include <omp.h>

namespace {

constexpr int64_t CHUNK = 512;
constexpr int LABELS = 16;  // at most; LABELS in labels.py

int64_t chunks_of(int64_t size) { return (size + CHUNK - 1) / CHUNK; }

inline int bits_of(float value) { return __builtin_bit_cast(int, value); }
inline float of_bits(int bits) { return __builtin_bit_cast(float, bits); }

// e^x for x <= 0, to about a unit in the last place: 2^n e^f with |f| <= log(2) / 2, and a polynomial (Cephes).
inline float exponential(float x) {
  constexpr float large = 12582912.0f;  // 1.5 * 2^23: its last bit counts ones
  x = x < -87.0f ? -87.0f : x;
  float n = (x * 1.44269504088896341f + large) - large;
  float f = x - n * 0.693359375f + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * f + 1.3981999507e-3f, p = p * f + 8.3334519073e-3f, p = p * f + 4.1665795894e-2f;
  p = p * f + 1.6666665459e-1f, p = p * f + 5.0000001201e-1f;
  return (p * f * f + f + 1.0f) * of_bits((int(n) + 127) << 23);
}

// The natural logarithm of x >= 1 (Cephes).
inline float logarithm(float x) {
  constexpr int half_root = 0x3f3504f3;  // bits of sqrt(1 / 2), where the mantissa shall begin
  int exponent = (bits_of(x) - half_root) >> 23;
  float f = of_bits(bits_of(x) - (exponent << 23)) - 1, z = f * f;
  float p = 7.0376836292e-2f;
  p = p * f - 1.1514610310e-1f, p = p * f + 1.1676998740e-1f, p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f, p = p * f - 1.6668057665e-1f, p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f, p = p * f + 3.3333331174e-1f;
  return f + (p * f * z - 0.5f * z + exponent * -2.12194440e-4f) + exponent * 0.693359375f;
}

struct Chunk {
  int length;
  float share[LABELS][CHUNK];  // of each label, by softmax or sigmoid
  float is[LABELS][CHUNK];     // 1 where the voxel has the label
  float entropy[CHUNK];
};

// One output: the share of the label 1 is a sigmoid.
void fill_single(Chunk& chunk, const float* logits, const float* label) {
#pragma omp simd
  for (int i = 0; i < chunk.length; i++) {
    float x = logits[i], size = x < 0 ? -x : x, e = exponential(-size), all = 1 + e;
    chunk.share[0][i] = (x < 0 ? e : 1.0f) / all;
    chunk.is[0][i] = label[i];
    chunk.entropy[i] = (x < 0 ? 0.0f : x) - x * label[i] + logarithm(all);
  }
}

void fill(Chunk& chunk, const float* logits, int64_t stride, int labels, const float* label) {
  if (labels == 1) return fill_single(chunk, logits, label);
  float most[CHUNK], all[CHUNK], own[CHUNK];
  for (int i = 0; i < chunk.length; i++) most[i] = logits[i], all[i] = 0, own[i] = 0;
  for (int k = 1; k < labels; k++)
    for (int i = 0; i < chunk.length; i++) {
      float x = logits[k * stride + i];
      most[i] = x > most[i] ? x : most[i];
    }
  for (int k = 0; k < labels; k++)
#pragma omp simd
    for (int i = 0; i < chunk.length; i++) {
      float x = logits[k * stride + i] - most[i], e = exponential(x);
      bool is = label[i] == k;
      chunk.share[k][i] = e, chunk.is[k][i] = is ? 1.0f : 0.0f;
      all[i] += e, own[i] = is ? x : own[i];
    }
#pragma omp simd
  for (int i = 0; i < chunk.length; i++) chunk.entropy[i] = logarithm(all[i]) - own[i], all[i] = 1 / all[i];
  for (int k = 0; k < labels; k++)
    for (int i = 0; i < chunk.length; i++) chunk.share[k][i] *= all[i];
}

float sum(const float* values, int length) {
  float total = 0;
#pragma omp simd reduction(+ : total)
  for (int i = 0; i < length; i++) total += values[i];
  return total;
}

float product(const float* a, const float* b, int length) {
  float total = 0;
#pragma omp simd reduction(+ : total)
  for (int i = 0; i < length; i++) total += a[i] * b[i];
  return total;
}

bool all_known(const float* label, int length, int labels) {
  int known = 0, last = std::max(labels - 1, 1);
#pragma omp simd reduction(+ : known)
  for (int i = 0; i < length; i++)
    known += labels == 1 ? label[i] >= 0 && label[i] <= 1 : label[i] >= 0 && label[i] <= last && label[i] == int(label[i]);
  return known == length;
}

}  // namespace

// Of rows x labels x size logits and rows x size label values. sums: for each label those of share * is and of share +
// is, then that of the cross entropy. parts: room for as many sums of each chunk. Returns whether all values are known.
extern "C" int lunet_loss_sums(const float* logits, const float* label, int64_t rows, int labels, int64_t size,
                               float* parts, double* sums, int threads) {
  int64_t chunks = chunks_of(size), width = 2 * labels + 1;
  int known = 1;
#pragma omp parallel for num_threads(threads) reduction(& : known)
  for (int64_t task = 0; task < rows * chunks; task++) {
    int64_t row = task / chunks, begin = task % chunks * CHUNK;
    Chunk chunk;
    chunk.length = int(std::min(CHUNK, size - begin));
    const float* own = label + row * size + begin;
    known &= all_known(own, chunk.length, labels);
    fill(chunk, logits + row * labels * size + begin, size, labels, own);
    float* part = parts + task * width;
    for (int k = 0; k < labels; k++) {
      part[2 * k] = product(chunk.share[k], chunk.is[k], chunk.length);
      part[2 * k + 1] = sum(chunk.share[k], chunk.length) + sum(chunk.is[k], chunk.length);
    }
    part[2 * labels] = sum(chunk.entropy, chunk.length);
  }
  for (int64_t i = 0; i < width; i++) {
    sums[i] = 0;
    for (int64_t task = 0; task < rows * chunks; task++) sums[i] += parts[task * width + i];
  }
  return known;
}

// The gradient of the logits from that of the sums.
extern "C" void lunet_loss_sums_backward(const float* logits, const float* label, int64_t rows, int labels,
                                         int64_t size, const float* of_sums, float* gradient, int threads) {
  int64_t chunks = chunks_of(size);
#pragma omp parallel for num_threads(threads)
  for (int64_t task = 0; task < rows * chunks; task++) {
    int64_t row = task / chunks, begin = task % chunks * CHUNK;
    Chunk chunk;
    chunk.length = int(std::min(CHUNK, size - begin));
    fill(chunk, logits + row * labels * size + begin, size, labels, label + row * size + begin);
    float mean[CHUNK] = {};  // a softmax shares out one whole, a sigmoid shares it with what is no label
    for (int k = 0; k < labels; k++)
      for (int i = 0; i < chunk.length; i++) {
        float share = chunk.share[k][i];
        mean[i] += share * (of_sums[2 * k] * chunk.is[k][i] + of_sums[2 * k + 1]);
      }
    for (int k = 0; k < labels; k++) {
      float* to = gradient + (row * labels + k) * size + begin;
      for (int i = 0; i < chunk.length; i++) {
        float share = chunk.share[k][i], is = chunk.is[k][i];
        to[i] = share * (of_sums[2 * k] * is + of_sums[2 * k + 1] - mean[i]) + of_sums[2 * labels] * (share - is);
      }
    }
  }
}

// The label with the greatest logit, of equal ones the first; one that is not a number counts as greatest, as PyTorch
// has it. Of a single output: whether it is positive.
extern "C" void lunet_labels(const float* logits, int64_t rows, int labels, int64_t size, float* output, int threads) {
  int64_t chunks = chunks_of(size);
#pragma omp parallel for num_threads(threads)
  for (int64_t task = 0; task < rows * chunks; task++) {
    int64_t row = task / chunks, begin = task % chunks * CHUNK;
    int length = int(std::min(CHUNK, size - begin));
    const float* from = logits + row * labels * size + begin;
    float* to = output + row * size + begin;
    if (labels == 1) {
      for (int i = 0; i < length; i++) to[i] = from[i] > 0 ? 1.0f : 0.0f;
      continue;
    }
    float most[CHUNK], label[CHUNK];
    for (int i = 0; i < length; i++) most[i] = from[i], label[i] = 0;
    for (int k = 1; k < labels; k++)
      for (int i = 0; i < length; i++) {
        float x = from[k * size + i], before = most[i];
        int more = -int((x > before) | ((x != x) & (before == before)));  // a mask, of which GCC makes vectors
        most[i] = of_bits((bits_of(x) & more) | (bits_of(before) & ~more));
        label[i] = of_bits((bits_of(float(k)) & more) | (bits_of(label[i]) & ~more));
      }
    std::copy(label, label + length, to);
  }
}

// counts: for each row and each value from 1 to values - 1, the voxels where both have it, the first, and the second.
extern "C" void lunet_count_labels(const float* first, const float* second, int64_t rows, int values, int64_t size,
                                   int64_t* counts, int threads) {
#pragma omp parallel for collapse(2) num_threads(threads)
  for (int64_t row = 0; row < rows; row++)
    for (int value = 1; value < values; value++) {
      const float *a = first + row * size, *b = second + row * size;
      int64_t* count = counts + (row * (values - 1) + value - 1) * 3;
      count[0] = count[1] = count[2] = 0;
      for (int64_t begin = 0; begin < size; begin += CHUNK) {
        int length = int(std::min(CHUNK, size - begin)), both = 0, in_a = 0, in_b = 0;
#pragma omp simd reduction(+ : both, in_a, in_b)
        for (int i = 0; i < length; i++) {
          int is_a = a[begin + i] == value, is_b = b[begin + i] == value;
          both += is_a & is_b, in_a += is_a, in_b += is_b;
        }
        count[0] += both, count[1] += in_a, count[2] += in_b;
      }
    }
}
