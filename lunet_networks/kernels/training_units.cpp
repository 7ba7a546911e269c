// Training of a unit: convolution (kernel 3), ReLU, batch norm with the batch's statistics, channel dropout.
//
// Vectors run along planes that are flattened with one shared margin of zeros, so that short rows fill them too; tiny
// volumes are stacked. Forward is one pass over memory, backward another.
#include <omp.h>

#include "training.hpp"

namespace {

// ---- convolution: O channels of V vectors stay in registers while all inputs pass by

#if LUNET_MANY_REGISTERS
constexpr int MOST_VECTORS[] = {0, 8, 8, 7, 6, 4, 4};  // by the number of channels
#else
constexpr int MOST_VECTORS[] = {0, 6, 5, 3, 2, 2, 2};
#endif
constexpr int SLACK = 9 * LANES;  // floats that may be read or written behind a row
// Input rows that are summed one after another, in 3D those of 8 channels. Then these sums are added: a single sum over
// 60 channels would be three times as far off.
constexpr int ROWS_AT_ONCE = 72;

template <int O, int V>
void conv_tile(const float* const* rows, int n_rows, int64_t at, const float* kernel, float* out, int64_t stride,
               bool added) {
  Vector sums[O][V];
#pragma GCC unroll 8
  for (int o = 0; o < O; o++)
#pragma GCC unroll 8
    for (int v = 0; v < V; v++) sums[o][v] = Vector{};
  for (int r = 0; r < n_rows; r++) {
    const float* from = rows[r] + at;
#pragma GCC unroll 3
    for (int w = 0; w < 3; w++, kernel += O) {
      Vector values[V];
#pragma GCC unroll 8
      for (int v = 0; v < V; v++) {
        values[v] = load(from + w + v * LANES);
        LUNET_HOLD(values[v]);
      }
#pragma GCC unroll 8
      for (int o = 0; o < O; o++) {
        Vector weight = every(kernel[o]);
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) sums[o][v] += weight * values[v];
      }
    }
  }
#pragma GCC unroll 8
  for (int o = 0; o < O; o++)
#pragma GCC unroll 8
    for (int v = 0; v < V; v++) {
      float* to = out + o * stride + v * LANES;
      store(to, added ? load(to) + sums[o][v] : sums[o][v]);
    }
}

template <int O>
void conv_row(const float* const* rows, int n_rows, int64_t length, const float* kernel, float* out, int64_t stride) {
  constexpr int most = MOST_VECTORS[O];
  int64_t vectors = (length + LANES - 1) / LANES;
  for (int64_t v = 0; v < vectors;) {
    int count = std::min<int64_t>(vectors - v, most);
    auto tile = conv_tile<O, 1>;
    if constexpr (most >= 2) tile = count == 2 ? conv_tile<O, 2> : tile;
    if constexpr (most >= 3) tile = count == 3 ? conv_tile<O, 3> : tile;
    if constexpr (most >= 4) tile = count == 4 ? conv_tile<O, 4> : tile;
    if constexpr (most >= 5) tile = count == 5 ? conv_tile<O, 5> : tile;
    if constexpr (most >= 6) tile = count == 6 ? conv_tile<O, 6> : tile;
    if constexpr (most >= 7) tile = count == 7 ? conv_tile<O, 7> : tile;
    if constexpr (most >= 8) tile = count == 8 ? conv_tile<O, 8> : tile;
    for (int r = 0; r < n_rows; r += ROWS_AT_ONCE)
      tile(rows + r, std::min(ROWS_AT_ONCE, n_rows - r), v * LANES, kernel + r * 3 * O, out + v * LANES, stride, r > 0);
    v += count;
  }
}

int channels_at_once(int left) { return left <= 5 ? left : left <= 8 && left != 6 ? 4 : 6; }

void convolve(const float* const* rows, int n_rows, int64_t length, const float* packed, int channels, float* out,
              int64_t stride) {
  using Row = decltype(&conv_row<1>);
  static constexpr Row table[] = {conv_row<1>, conv_row<2>, conv_row<3>, conv_row<4>, conv_row<5>, conv_row<6>};
  for (int first = 0; first < channels;) {
    int n = channels_at_once(channels - first);
    table[n - 1](rows, n_rows, length, packed + int64_t(first) * n_rows * 3, out + first * stride, stride);
    first += n;
  }
}

// The kernel in the order of reading: outputs that are computed at once, input row (channel, depth, height), width,
// output. Transposed: of the convolution that takes the gradient of the output to that of the input.
std::vector<float> pack(const float* kernel, int out, int in, int taps, bool transposed) {
  std::vector<float> packed(size_t(out) * in * taps);
  float* to = packed.data();
  for (int first = 0; first < out;) {
    int n = channels_at_once(out - first);
    for (int i = 0; i < in; i++)
      for (int k = 0; k < taps; k++)
        for (int o = first; o < first + n; o++)
          *to++ = transposed ? kernel[(int64_t(i) * out + o) * taps + taps - 1 - k]
                             : kernel[(int64_t(o) * in + i) * taps + k];
    first += n;
  }
  return packed;
}

// ---- gradient of the weights: O outputs of R rows of inputs stay in registers

template <int O, int R>
void weight_tile(const float* const* rows, const float* dz, int64_t dz_stride, int64_t length, float* dw,
                 int64_t dw_stride) {
  Vector sums[O][R][3];
#pragma GCC unroll 8
  for (int o = 0; o < O; o++)
#pragma GCC unroll 9
    for (int r = 0; r < R; r++)
#pragma GCC unroll 3
      for (int w = 0; w < 3; w++) sums[o][r][w] = Vector{};
  auto add = [&](int64_t i, const Vector* z) __attribute__((always_inline)) {
#pragma GCC unroll 9
    for (int r = 0; r < R; r++)
#pragma GCC unroll 3
      for (int w = 0; w < 3; w++) {
        Vector x = load(rows[r] + i + w);
        LUNET_HOLD(x);
#pragma GCC unroll 8
        for (int o = 0; o < O; o++) sums[o][r][w] += z[o] * x;
      }
  };
  Vector z[O];
  int64_t i = 0;
  for (; i + LANES <= length; i += LANES) {
#pragma GCC unroll 8
    for (int o = 0; o < O; o++) {
      z[o] = load(dz + o * dz_stride + i);
      LUNET_HOLD(z[o]);
    }
    add(i, z);
  }
  if (i < length) {
    for (int o = 0; o < O; o++) {
      float last[LANES] = {};
      std::memcpy(last, dz + o * dz_stride + i, (length - i) * sizeof(float));
      z[o] = load(last);
    }
    add(i, z);
  }
#pragma GCC unroll 8
  for (int o = 0; o < O; o++)
#pragma GCC unroll 9
    for (int r = 0; r < R; r++)
#pragma GCC unroll 3
      for (int w = 0; w < 3; w++) dw[o * dw_stride + r * 3 + w] += total(sums[o][r][w]);
}

template <int O, int R>
void weight_rows(const float* const* rows, int n_rows, const float* dz, int64_t dz_stride, int64_t length, float* dw) {
  int r = 0, stride = n_rows * 3;
  for (; r + R <= n_rows; r += R) weight_tile<O, R>(rows + r, dz, dz_stride, length, dw + r * 3, stride);
  for (; r < n_rows; r++) weight_tile<O, 1>(rows + r, dz, dz_stride, length, dw + r * 3, stride);
}

void weight_gradient(const float* const* rows, int n_rows, const float* dz, int64_t dz_stride, int channels,
                     int64_t length, float* dw) {
  using Rows = decltype(&weight_rows<1, 1>);
#if LUNET_MANY_REGISTERS
  static constexpr Rows table[] = {weight_rows<1, 9>, weight_rows<2, 3>, weight_rows<3, 3>, weight_rows<4, 2>};
#else
  static constexpr Rows table[] = {weight_rows<1, 3>, weight_rows<2, 1>, weight_rows<3, 1>, weight_rows<3, 1>};
#endif
  for (int first = 0; first < channels;) {
    int left = channels - first, n = left <= 4 ? left : left <= 6 ? 3 : 4;
    if (!LUNET_MANY_REGISTERS && n == 4) n = left == 4 ? 2 : 3;
    table[n - 1](rows, n_rows, dz + first * dz_stride, dz_stride, length, dw + int64_t(first) * n_rows * 3);
    first += n;
  }
}

// ---- passes over planes whose rows may be short: explicit vectors, because GCC's own loops spend as long on their
// beginnings and ends

// to = a * from + b
inline void scale_short_row(float* to, const float* from, float a, float b, int n) {
  int i = 0;
  for (; i + LANES <= n; i += LANES) store(to + i, a * load(from + i) + b);
  for (; i < n; i++) to[i] = a * from[i] + b;
}

// to = relu(from + added); NaN stays NaN.
inline void relu_row(float* to, const float* from, float added, int n) {
  const Vector none = {};
  int i = 0;
  for (; i + LANES <= n; i += LANES) {
    const Vector x = load(from + i) + added;
    store(to + i, x < none ? none : x);
  }
  for (; i < n; i++) {
    const float x = from[i] + added;
    to[i] = x < 0 ? 0 : x;
  }
}

// Calls body(position, which of two) for the vectors of a row, and tail(position) for the rest.
template <class Body, class Tail>
inline void along_short(int n, Body body, Tail tail) {
  int i = 0;
  for (; i + 2 * LANES <= n; i += 2 * LANES) body(i, 0), body(i + LANES, 1);
  for (; i + LANES <= n; i += LANES) body(i, 0);
  for (; i < n; i++) tail(i);
}

// The gradient in front of a ReLU, and its sum: to = r > 0 ? d + (a + b * r) : 0; NaN stays NaN. Rows of `to` are S apart.
float through_relu(const float* r, const float* d, float a, float b, float* to, int H, int W, int S) {
  Vector sums[2] = {};
  const Vector none = {};
  float rest = 0;
  for (int h = 0; h < H; h++, r += W, d += W, to += S)
    along_short(
        W,
        [&](int i, int v) {
          const Vector x = load(r + i);
          Vector g = load(d + i) + (a + b * x);
          g = x <= none ? none : g;
          store(to + i, g);
          sums[v] += g;
        },
        [&](int i) {
          to[i] = r[i] <= 0 ? 0.0f : d[i] + (a + b * r[i]);
          rest += to[i];
        });
  return total(sums[0] + sums[1]) + rest;
}

// to = a * from, whose rows are S apart; adds the sums of from and of from * r.
void give_plane(const float* from, const float* r, float a, float* to, int H, int W, int S, double* sum,
                double* product) {
  Vector sums[2] = {}, products[2] = {};
  float rest = 0, more = 0;
  for (int h = 0; h < H; h++, r += W, from += S, to += W)
    along_short(
        W,
        [&](int i, int v) {
          const Vector g = load(from + i);
          sums[v] += g, products[v] += g * load(r + i);
          store(to + i, a * g);
        },
        [&](int i) {
          rest += from[i], more += from[i] * r[i];
          to[i] = a * from[i];
        });
  *sum += total(sums[0] + sums[1]) + rest, *product += total(products[0] + products[1]) + more;
}

// ---- how a batch is cut into tasks: by its shape only, never by the number of threads

struct Place {
  bool inside;  // or a margin
  int sample, depth;
};

struct Cut {
  int N, D, H, W, taps;  // taps: of the kernel along the depth, 1 in 2D
  int gap;               // planes of zeros between stacked samples
  int S;                 // from row to row
  int stack, parts, tasks;
  int64_t HW, DHW, plane;
  Cut(int N, int D, int H, int W, int taps)
      : N(N), D(D), H(H), W(W), taps(taps), gap(taps / 2), S(W + 1), HW(int64_t(H) * W), DHW(HW * D),
        plane(int64_t(H + 1) * (W + 1)) {
    stack = std::max<int64_t>(1, std::min<int64_t>(2400 / (plane * (D + gap)), std::max(1, N / 4)));
    parts = stack > 1 ? 1 : std::max(1, std::min((32 + N - 1) / N, D / 6));
    tasks = (N + stack - 1) / stack * parts;
  }
  int first_sample(int task) const { return task / parts * stack; }
  int samples(int task) const { return std::min(stack, N - first_sample(task)); }
  int depth(int task) const { return samples(task) * (D + gap) - gap; }
  int begin(int task) const { return int64_t(depth(task)) * (task % parts) / parts; }
  int end(int task) const { return int64_t(depth(task)) * (task % parts + 1) / parts; }
  Place place(int task, int p) const {
    if (p < 0 || p >= depth(task) || p % (D + gap) == D) return {false, 0, 0};
    return {true, first_sample(task) + p / (D + gap), p % (D + gap)};
  }
  // Planes that a task computes at once: one if planes are large, else as many as stay in the cache.
  int slab(int channels) const {
    int longest = stack > 1 ? stack * (D + gap) - gap : (D + parts - 1) / parts;
    if (plane >= 2048) return 1;
    return std::max<int64_t>(1, std::min<int64_t>(160000 / channels / plane - 2, longest));
  }
  int64_t rows_of(int planes) const { return (planes - 1) * plane + int64_t(H - 1) * S + W; }
};

// Planes with margins, of one channel behind the other: three in a ring if they are computed one at a time, else a slab
// of them with a plane before and behind.
struct Planes {
  const Cut& cut;
  int channels;
  bool ring;
  int64_t offset, step, stride;  // the first voxel; from plane to plane, from channel to channel
  int start = 0;
  float* data = nullptr;
  Planes(const Cut& cut, int channels, int slab) : cut(cut), channels(channels), ring(slab == 1) {
    offset = (LANES - (cut.S + 1) % LANES) % LANES;
    step = ring ? whole_vectors(offset + cut.plane + cut.S + SLACK) : cut.plane;
    stride = ring ? 3 * step : whole_vectors(offset + (slab + 2) * cut.plane + cut.S + SLACK);
  }
  int64_t size() const { return channels * stride; }
  float* at(int p) const { return data + offset + (ring ? int64_t((p + 3) % 3) : int64_t(p - start + 1)) * step; }
  void begin_at(int p, float* memory) { start = p, data = memory; }
  void move(int p) {  // the slab begins at plane p from now on: keep the last two
    for (int c = 0; !ring && c < channels; c++) {
      float* first = data + offset + c * stride;
      std::memmove(first, first + int64_t(p - start) * step, 2 * step * sizeof(float));
    }
    start = p;
  }
  void list_rows(int p, const float** to) const {
    for (int c = 0; c < channels; c++)
      for (int d = 0; d < cut.taps; d++)
        for (int h = 0; h < 3; h++) *to++ = at(p - cut.gap + d) + c * stride + h * cut.S;
  }
  void fill(int p, int c, const float* from, float a, float b, bool scaled) const {
    float* to = at(p) + c * stride + cut.S + 1;
    for (int h = 0; h < cut.H; h++, to += cut.S, from += cut.W) {
      if (scaled)
        scale_short_row(to, from, a, b, cut.W);
      else
        std::memcpy(to, from, cut.W * sizeof(float));
    }
  }
  void clear(int p, int c) const {
    std::memset(at(p) + c * stride + cut.S + 1, 0, (int64_t(cut.H - 1) * cut.S + cut.W) * sizeof(float));
  }
};

struct Channel {
  const LunetInput* input;
  int index;
  int64_t of(int sample) const { return sample * input->channels + index; }  // among the channels of all samples
};

std::vector<Channel> list_channels(const LunetInput* inputs, int n) {
  std::vector<Channel> all;
  for (int i = 0; i < n; i++)
    for (int c = 0; c < inputs[i].channels; c++) all.push_back({&inputs[i], c});
  return all;
}

void fill_inputs(const Planes& planes, const std::vector<Channel>& channels, int p, Place at) {
  for (int c = 0; c < planes.channels; c++) {
    if (!at.inside) {
      planes.clear(p, c);
      continue;
    }
    const LunetInput& input = *channels[c].input;
    int64_t k = channels[c].of(at.sample);
    const float* from = input.data + k * planes.cut.DHW + at.depth * planes.cut.HW;
    planes.fill(p, c, from, scale_of(input, k), shift_of(input, k), input.scale != nullptr);
  }
}

// ---- batch statistics

struct Moments {  // of a channel in a task
  double count = 0, sum = 0, squares = 0;  // squares: of the differences to the mean
  void add(double n, double s, double q) {
    double difference = s / n - (count ? sum / count : 0.0);
    squares += q + difference * difference * count * n / (count + n);
    sum += s, count += n;
  }
};

void batch_statistics(const std::vector<Moments>& moments, int O, int tasks, double* mean, double* variance) {
  for (int o = 0; o < O; o++) {
    double count = 0, sum = 0, squares = 0;
    for (int t = 0; t < tasks; t++) count += moments[t * O + o].count, sum += moments[t * O + o].sum;
    mean[o] = sum / count;
    for (int t = 0; t < tasks; t++) {
      const Moments& part = moments[t * O + o];
      double difference = part.sum / part.count - mean[o];
      squares += part.squares + difference * difference * part.count;
    }
    variance[o] = squares / count;
  }
}

}  // namespace

extern "C" {

// r = relu(conv(inputs) + bias), the batch's mean and variance of r, and the scale and shift of norm and dropout. The
// mask holds 0 or 1 / (1 - p) for each channel of each sample, or is null.
int lunet_unit_forward(const LunetInput* inputs, int n_inputs, int N, int D, int H, int W, int taps, int O,
                       const float* weight, const float* bias, const float* gamma, const float* beta, double eps,
                       const float* mask, float* r, double* scale, double* shift, double* mean, double* variance,
                       int threads) {
  return guarded([&] {
    const Cut cut(N, D, H, W, taps);
    const auto channels = list_channels(inputs, n_inputs);
    const int C = channels.size(), n_rows = 3 * taps * C, slab = cut.slab(C + O);
    const auto packed = pack(weight, O, C, 9 * taps, false);
    const Planes layout(cut, C, slab);
    const int64_t stride = whole_vectors(slab * cut.plane + SLACK);
    Scratch planes_memory(threads, layout.size()), out_memory(threads, O * stride);
    std::vector<const float*> rows_memory(threads * n_rows);
    std::vector<Moments> moments(cut.tasks * O);
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (int task = 0; task < cut.tasks; task++) {
      const int thread = omp_get_thread_num(), begin = cut.begin(task), end = cut.end(task);
      Planes planes = layout;
      planes.begin_at(begin, planes_memory.of(thread));
      float* out = out_memory.of(thread);
      const float** rows = &rows_memory[thread * n_rows];
      auto fill = [&](int p) { fill_inputs(planes, channels, p, cut.place(task, p)); };
      fill(begin - 1), fill(begin);
      for (int first = begin; first < end; first += slab) {
        const int now = std::min(slab, end - first);
        if (first > begin) planes.move(first);
        for (int p = first + 1; p <= first + now; p++) fill(p);
        planes.list_rows(first, rows);
        convolve(rows, n_rows, cut.rows_of(now), packed.data(), O, out, stride);
        for (int p = first; p < first + now; p++) {
          const Place at = cut.place(task, p);
          for (int o = 0; at.inside && o < O; o++) {
            const float* from = out + o * stride + (p - first) * cut.plane;
            float* to = r + (int64_t(at.sample) * O + o) * cut.DHW + at.depth * cut.HW;
            const float added = bias ? bias[o] : 0.0f;
            for (int h = 0; h < H; h++) relu_row(to + h * W, from + h * cut.S, added, W);
            const float sum = sum_of(to, cut.HW);
            moments[task * O + o].add(cut.HW, sum, squares_of(to, cut.HW, sum / cut.HW));
          }
        }
      }
    }
    batch_statistics(moments, O, cut.tasks, mean, variance);
    for (int o = 0; o < O; o++) {
      const double slope = gamma[o] / std::sqrt(variance[o] + eps);
      for (int i = 0; i < N; i++) {
        const double kept = mask ? mask[i * O + o] : 1.0;
        scale[i * O + o] = slope * kept, shift[i * O + o] = (beta[o] - mean[o] * slope) * kept;
      }
    }
  });
}

// From the gradients of r, scale and shift: those of weight, bias, gamma, beta and of the inputs.
int lunet_unit_backward(const LunetInput* inputs, int n_inputs, int N, int D, int H, int W, int taps, int O,
                        const float* weight, const float* gamma, double eps, const float* mask, const float* r,
                        const double* mean, const double* variance, const float* d_r, const double* d_scale,
                        const double* d_shift, float* d_weight, float* d_bias, float* d_gamma, float* d_beta,
                        int threads) {
  return guarded([&] {
    const Cut cut(N, D, H, W, taps);
    const auto channels = list_channels(inputs, n_inputs);
    const int C = channels.size(), n_rows = 3 * taps * C, out_rows = 3 * taps * O;
    const bool wanted = std::any_of(inputs, inputs + n_inputs, [](const LunetInput& each) { return each.grad; });
    const int slab = cut.slab(C + O + (wanted ? C : 0));
    const auto packed = pack(weight, C, O, 9 * taps, true);
    // What mean and variance add to the gradient of r: constant + slope * r
    std::vector<float> constants(O), slopes(O);
    for (int o = 0; o < O; o++) {
      double to_scale = 0, to_shift = 0;
      const double count = double(N) * cut.DHW, inverse = 1 / std::sqrt(variance[o] + eps);
      for (int i = 0; i < N; i++) {
        const double kept = mask ? mask[i * O + o] : 1.0;
        to_scale += kept * d_scale[i * O + o], to_shift += kept * d_shift[i * O + o];
      }
      const double slope = -gamma[o] * (to_scale - mean[o] * to_shift) * inverse * inverse * inverse / count;
      d_gamma[o] = inverse * (to_scale - mean[o] * to_shift), d_beta[o] = to_shift;
      constants[o] = -gamma[o] * inverse * to_shift / count - slope * mean[o], slopes[o] = slope;
    }
    const int64_t n_weights = int64_t(O) * C * 9 * taps, stride = whole_vectors(slab * cut.plane + SLACK);
    const Planes layout(cut, C, slab), dz_layout(cut, O, slab);
    Scratch planes_memory(threads, layout.size()), dz_memory(threads, dz_layout.size());
    Scratch out_memory(threads, wanted ? C * stride : 0);
    std::vector<const float*> rows_memory(threads * n_rows), dz_rows_memory(threads * out_rows);
    std::vector<float> d_weights(cut.tasks * n_weights);
    std::vector<double> d_biases(cut.tasks * O), d_scales(int64_t(cut.tasks) * cut.stack * C * 2);
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (int task = 0; task < cut.tasks; task++) {
      const int thread = omp_get_thread_num(), begin = cut.begin(task), end = cut.end(task);
      Planes planes = layout, dz = dz_layout;
      planes.begin_at(begin, planes_memory.of(thread)), dz.begin_at(begin, dz_memory.of(thread));
      float* out = out_memory.of(thread);
      const float **rows = &rows_memory[thread * n_rows], **dz_rows = &dz_rows_memory[thread * out_rows];
      double* to_scales = &d_scales[int64_t(task) * cut.stack * C * 2];
      auto fill = [&](int p) {
        const Place at = cut.place(task, p);
        fill_inputs(planes, channels, p, at);
        for (int o = 0; o < O; o++) {
          if (!at.inside) {
            dz.clear(p, o);
            continue;
          }
          const int64_t from = (int64_t(at.sample) * O + o) * cut.DHW + at.depth * cut.HW;
          float* to = dz.at(p) + o * dz.stride + cut.S + 1;
          const float sum = through_relu(r + from, d_r + from, constants[o], slopes[o], to, H, W, cut.S);
          if (p >= begin && p < end) d_biases[task * O + o] += sum;
        }
      };
      fill(begin - 1), fill(begin);
      for (int first = begin; first < end; first += slab) {
        const int now = std::min(slab, end - first);
        const int64_t length = cut.rows_of(now);
        if (first > begin) planes.move(first), dz.move(first);
        for (int p = first + 1; p <= first + now; p++) fill(p);
        planes.list_rows(first, rows);
        weight_gradient(rows, n_rows, dz.at(first) + cut.S + 1, dz.stride, O, length, &d_weights[task * n_weights]);
        if (!wanted) continue;
        dz.list_rows(first, dz_rows);
        convolve(dz_rows, out_rows, length, packed.data(), C, out, stride);
        for (int p = first; p < first + now; p++) {
          const Place at = cut.place(task, p);
          for (int c = 0; at.inside && c < C; c++) {
            const LunetInput& input = *channels[c].input;
            if (!input.grad) continue;
            const int64_t k = channels[c].of(at.sample), place = k * cut.DHW + at.depth * cut.HW;
            const float* from = out + c * stride + (p - first) * cut.plane;
            float* to = input.grad + place;
            if (!input.scale) {
              for (int h = 0; h < H; h++) std::memcpy(to + h * W, from + h * cut.S, W * sizeof(float));
              continue;
            }
            double* sums = to_scales + ((at.sample - cut.first_sample(task)) * C + c) * 2;
            give_plane(from, input.data + place, scale_of(input, k), to, H, W, cut.S, &sums[1], &sums[0]);
          }
        }
      }
    }
    for (int64_t k = 0; k < n_weights; k++) {
      double sum = 0;
      for (int t = 0; t < cut.tasks; t++) sum += d_weights[t * n_weights + k];
      d_weight[k] = sum;
    }
    for (int o = 0; o < O; o++) {
      double sum = 0;
      for (int t = 0; t < cut.tasks; t++) sum += d_biases[t * O + o];
      d_bias[o] = sum;
    }
    for (int c = 0; c < C; c++)
      for (int i = 0; channels[c].input->grad && channels[c].input->scale && i < N; i++) {
        double to_scale = 0, to_shift = 0;
        for (int part = 0; part < cut.parts; part++) {
          const int64_t task = int64_t(i / cut.stack) * cut.parts + part;
          const double* sums = &d_scales[((task * cut.stack + i % cut.stack) * C + c) * 2];
          to_scale += sums[0], to_shift += sums[1];
        }
        const int64_t k = channels[c].of(i);
        channels[c].input->grad_scale[k] = to_scale, channels[c].input->grad_shift[k] = to_shift;
      }
  });
}
}
