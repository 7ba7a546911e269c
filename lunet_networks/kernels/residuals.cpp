// The blocks of PSP-Seg, float32 on a CPU: convolutions of many channels with the instance norms and leaky ReLUs after
// them. A convolution collects the sums for its norm; what reads it next applies norm and leaky ReLU. So every layer is
// one pass over memory, and the sum of branches, with their scales, norms and the last leaky ReLU, is one more.
#include <memory>
#include <optional>

#include "channels_last.hpp"

namespace {

const int ONE_VOXEL[] = {1, 1, 1};

// Norm and scale of a branch, for each channel of its output.
struct Affine {
  std::vector<float> scale, shift;
  explicit Affine(int channels) : scale(channels), shift(channels) {}

  void set(const Moments& moments, const Volume& size, double eps, double factor = 1.0) {
    for (size_t c = 0; c < scale.size(); c++) {
      double multiplied, added;
      moments.norm(c, int64_t(size.depth) * size.height, size.width, eps, multiplied, added);
      scale[c] = multiplied * factor, shift[c] = added * factor;
    }
  }

  // Of a layer of one voxel of an image.
  void set(const Products& products, const Layer& layer, double eps) {
    for (size_t c = 0; c < scale.size(); c++) {
      double multiplied, added;
      products.norm(layer.weights_of(c), eps, multiplied, added);
      scale[c] = multiplied, shift[c] = added;
    }
  }
};

// An image of half the resolution: a layer of one voxel of it is added, by nearest neighbours, to the samples of another.
class Lower {
 public:
  Lower(const float* in, int in_channels, int channels, const float* kernel, const float* bias, const Volume& size,
        int threads)
      : in(in), length(in ? size.size() * in_channels : 0) {
    if (!in) return;
    layer = std::make_unique<Layer>(size, in_channels, channels, ONE_VOXEL, 1, kernel, bias, threads);
    output = std::make_unique<Scratch>(1, size.size() * channels);
    this->in_channels = in_channels;
  }

  int64_t scratch(int threads) const { return layer ? layer->scratch(threads) : 0; }

  // Of one sample; none if there is none.
  const float* compute(int64_t sample, Scratch& scratch, int threads) const {
    if (!layer) return nullptr;
    layer->compute(Field{in + sample * length, in_channels}, output->of(0), nullptr, scratch, threads);
    return output->of(0);
  }

 private:
  const float* in;
  int64_t length;
  int in_channels = 0;
  std::unique_ptr<Layer> layer;
  std::unique_ptr<Scratch> output;
};

// What lies between the two convolutions of a branch: the output of a layer of one voxel, normed, behind a leaky ReLU.
// If it is wide and the cache cannot hold it, the second convolution computes it as it reads, and it is never stored.
class Inside {
 public:
  Inside(const Volume& size, int channels, int hidden, double eps, double slope, int threads)
      : size(size), eps(eps), in_length(int64_t(size.width) * channels), norm(hidden) {
    // A deep layer brings its weights into order only as it computes all of its output.
    if (hidden >= channels && hidden <= size.size() && size.size() * hidden > CACHED) {
      products = std::make_unique<Products>(size, channels, threads);
      buffer = std::make_unique<Scratch>(threads, in_length + int64_t(size.width) * hidden);
    } else {
      moments = std::make_unique<Moments>(size.depth, hidden);
      buffer = std::make_unique<Scratch>(1, size.size() * hidden);
    }
    field.channels = hidden, field.scale = norm.scale.data(), field.shift = norm.shift.data(), field.slope = slope;
  }

  // The input of all branches.
  void of(const Field& input, int threads) {
    in = &input;
    if (products) products->compute(input, threads);
  }

  // Of a branch, until the next one.
  const Field& compute(const Layer& layer, Scratch& scratch, int threads) {
    if (products) {
      norm.set(*products, layer, eps);
      computed.emplace(Computed{layer, *in, *buffer, in_length});
      field.computed = &*computed;
    } else {
      layer.compute(*in, buffer->of(0), moments.get(), scratch, threads);
      norm.set(*moments, size, eps);
      field.values = buffer->of(0);
    }
    return field;
  }

 private:
  static constexpr int64_t CACHED = 1 << 20;  // floats

  const Volume size;
  const double eps;
  const int64_t in_length;  // of a row
  Affine norm;
  Field field{};
  const Field* in = nullptr;
  std::unique_ptr<Moments> moments;
  std::unique_ptr<Products> products;
  std::unique_ptr<Scratch> buffer;  // all of it, or what each thread needs for a row
  std::optional<Computed> computed;
};

// A last layer of one voxel, whose output is in planes.
struct Head {
  const float *weight, *bias;
  int channels;

  void compute(const float* row, int in_channels, int width, float* out, int64_t plane) const {
    for (int o = 0; o < channels; o++)
      for (int w = 0; w < width; w++) {
        Vector sum{};
        for (int c = 0; c < in_channels; c += LANES)
          sum += load(row + int64_t(w) * in_channels + c) * load(weight + int64_t(o) * in_channels + c);
        float lanes[LANES];
        store(lanes, sum);
        for (int half = LANES / 2; half > 0; half /= 2)
          for (int lane = 0; lane < half; lane++) lanes[lane] += lanes[lane + half];
        out[o * plane + w] = lanes[0] + bias[o];
      }
  }
};

// The residual, to which normed branches are added, each after a leaky ReLU of this slope; then comes another one.
struct Sum {
  const Field& residual;
  std::vector<const float*> branches;
  std::vector<const Affine*> norms;
  float inner_slope, outer_slope;

  void row(const Volume& size, int d, int h, float* to) const {
    int channels = residual.channels;
    int64_t begin = (int64_t(d) * size.height + h) * size.width * channels;
    if (residual.values + begin != to) residual.read(size, d, h, to, channels, GROUP);
    int64_t length = int64_t(size.width) * channels;
    for (size_t b = 0; b < branches.size(); b++) {
      const float *from = branches[b] + begin, *scale = norms[b]->scale.data(), *shift = norms[b]->shift.data();
      float slope = b + 1 == branches.size() ? outer_slope : 1.0f;
      for (int c = 0; c < channels; c += LANES) {
        Vector factor = load(scale + c), added = load(shift + c);
        for (int64_t i = c; i < length; i += channels)
          store(to + i, leaky(load(to + i) + leaky(load(from + i) * factor + added, inner_slope), slope));
      }
    }
  }

  void compute(const Volume& size, float* out, int threads) const {
    int64_t rows = int64_t(size.depth) * size.height, length = int64_t(size.width) * residual.channels;
#pragma omp parallel for num_threads(threads)
    for (int64_t r = 0; r < rows; r++) row(size, r / size.height, r % size.height, out + r * length);
  }

  void compute(const Volume& size, const Head& head, float* out, Scratch& scratch, int threads) const {
    int64_t rows = int64_t(size.depth) * size.height;
#pragma omp parallel for num_threads(threads)
    for (int64_t r = 0; r < rows; r++) {
      float* to = scratch.of(omp_get_thread_num());
      row(size, r / size.height, r % size.height, to);
      head.compute(to, residual.channels, size.width, out + r * size.width, size.size());
    }
  }
};

}  // namespace

extern "C" {

// x + leaky(norm(convolution(x))). Before it stands a layer of one voxel, if stem is not null, and a layer of one voxel of
// lower is added by nearest neighbours, if that is not null; a head of one voxel follows, if it is not null. The stem's
// weights are by input channel.
int lunet_residual_unit(const float* in, const float* lower, int lower_channels, const float* rise,
                        const float* rise_bias, const float* stem, const float* stem_bias,
                        int stem_channels, const float* kernel, double eps, double slope, const float* head,
                        const float* head_bias, int head_channels, int64_t samples, int channels, float* out, int depth,
                        int height, int width, int depth_taps, int threads) try {
  Volume size{depth, height, width}, half{(depth + 1) / 2, height / 2, width / 2};
  const int taps[] = {depth_taps, TAPS, TAPS};
  Layer layer(size, channels, channels, taps, 1, kernel, nullptr, threads);
  Moments moments(depth, channels);
  Affine norm(channels);
  Scratch convolved(1, size.size() * channels);
  Lower below(lower, lower_channels, channels, rise, rise_bias, half, threads);
  Scratch scratch(threads, std::max({layer.scratch(threads), below.scratch(threads), int64_t(width) * channels}));
  int in_channels = stem ? stem_channels : channels, out_channels = head ? head_channels : channels;
  for (int64_t sample = 0; sample < samples; sample++) {
    Field field{in + sample * size.size() * in_channels, channels};
    field.lower = below.compute(sample, scratch, threads);
    field.stem = stem, field.stem_bias = stem_bias, field.stem_channels = stem_channels;
    layer.compute(field, convolved.of(0), &moments, scratch, threads);
    norm.set(moments, size, eps);
    Sum sum{field, {convolved.of(0)}, {&norm}, float(slope), 1.0f};
    float* to = out + sample * size.size() * out_channels;
    if (head) sum.compute(size, Head{head, head_bias, head_channels}, to, scratch, threads);
    else sum.compute(size, to, threads);
  }
  return DONE;
} catch (const std::bad_alloc&) {
  return OUT_OF_MEMORY;
}

// leaky(bypass(x) + norm(convolution(leaky(norm(convolution(x)))))); the first convolution and the bypass, a layer of
// one voxel, have a stride of 2.
int lunet_downsample_unit(const float* in, int64_t samples, int channels, int out_channels, const float* first,
                          const float* second, const float* bypass, const float* bypass_bias, double eps, double slope,
                          float* out, int depth, int height, int width, int depth_taps, int threads) try {
  Volume size{depth, height, width};
  const int taps[] = {depth_taps, TAPS, TAPS};
  Layer halving(size, channels, out_channels, taps, 2, first, nullptr, threads);
  Volume half = halving.output();
  Layer layer(half, out_channels, out_channels, taps, 1, second, nullptr, threads);
  Layer beside(size, channels, out_channels, ONE_VOXEL, 2, bypass, bypass_bias, threads);
  Moments moments(half.depth, out_channels);
  Affine inner(out_channels), outer(out_channels);
  int64_t length = half.size() * out_channels;
  Scratch buffer(1, 2 * length);
  Scratch scratch(threads, std::max({halving.scratch(threads), layer.scratch(threads), beside.scratch(threads)}));
  for (int64_t sample = 0; sample < samples; sample++) {
    Field field{in + sample * size.size() * channels, channels};
    float *to = out + sample * length, *halved = buffer.of(0), *convolved = buffer.of(0) + length;
    halving.compute(field, halved, &moments, scratch, threads);
    inner.set(moments, half, eps);
    beside.compute(field, to, nullptr, scratch, threads);
    Field between{halved, out_channels, inner.scale.data(), inner.shift.data(), float(slope)};
    layer.compute(between, convolved, &moments, scratch, threads);
    outer.set(moments, half, eps);
    Field residual{to, out_channels};
    Sum{residual, {convolved}, {&outer}, 1.0f, float(slope)}.compute(half, to, threads);
  }
  return DONE;
} catch (const std::bad_alloc&) {
  return OUT_OF_MEMORY;
}

// leaky(x + the sum of the branches), with outer_slope; a branch is scale * norm(convolution(leaky(norm(layer of one
// voxel(x))))). A layer of one voxel of lower is added to x by nearest neighbours, if lower is not null. The taps of a
// branch's convolution along the three axes are three numbers.
int lunet_redundant_module(const float* in, const float* lower, int lower_channels, const float* rise,
                           const float* rise_bias, int64_t samples, int channels, int hidden, int branches,
                           const float* const* first, const float* const* second, const int* taps,
                           const float* const* scales, double eps, double slope, double outer_slope, float* out,
                           int depth, int height, int width, int threads) try {
  Volume size{depth, height, width}, half{(depth + 1) / 2, height / 2, width / 2};
  Lower below(lower, lower_channels, channels, rise, rise_bias, half, threads);
  int64_t length = size.size() * channels, needed = below.scratch(threads);
  std::vector<std::unique_ptr<Layer>> before, after;
  for (int b = 0; b < branches; b++) {
    before.push_back(std::make_unique<Layer>(size, channels, hidden, ONE_VOXEL, 1, first[b], nullptr, threads));
    after.push_back(std::make_unique<Layer>(size, hidden, channels, taps + 3 * b, 1, second[b], nullptr, threads));
    needed = std::max({needed, before[b]->scratch(threads), after[b]->scratch(threads)});
  }
  Inside inside(size, channels, hidden, eps, slope, threads);
  Scratch convolved(1, branches * length);
  Moments moments(depth, channels);
  std::vector<Affine> norms(branches, Affine(channels));
  Scratch scratch(threads, needed);
  std::vector<const float*> outputs;
  std::vector<const Affine*> each;
  for (int b = 0; b < branches; b++) outputs.push_back(convolved.of(0) + b * length), each.push_back(&norms[b]);
  for (int64_t sample = 0; sample < samples; sample++) {
    Field field{in + sample * length, channels};
    field.lower = below.compute(sample, scratch, threads);
    inside.of(field, threads);
    for (int b = 0; b < branches; b++) {
      const Field& between = inside.compute(*before[b], scratch, threads);
      after[b]->compute(between, convolved.of(0) + b * length, &moments, scratch, threads);
      norms[b].set(moments, size, eps, *scales[b]);
    }
    Sum{field, outputs, each, 1.0f, float(outer_slope)}.compute(size, out + sample * length, threads);
  }
  return DONE;
} catch (const std::bad_alloc&) {
  return OUT_OF_MEMORY;
}
}
