// Batch normalisation, an addition and an activation in one operation on the CPU, with a gradient that keeps only the
// operation's input: libtorch's own three read and write the whole map twice as often and keep it once more.
//
// For maps with their channels innermost. Sums are made in chunks of rows that depend on the shape alone and are added up
// in their order, so results do not depend on the number of threads.
#include <ATen/TensorIterator.h>
#include <ATen/Version.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty_like.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/jit/frontend/tracer.h>

#include <cmath>
#include <string>
#include <vector>

#include "kernels/norm.h"
#include "shim.h"

using at::Tensor;
using regraft::Activation;
using regraft::Affine;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {
// Elements in a chunk: enough to be worth a task, and few enough to stay in the cache of a core.
constexpr int64_t CHUNK = 1 << 16;

const regraft::Kernels& kernels() {
#ifdef __x86_64__
  static const regraft::Kernels& chosen = [&]() -> const regraft::Kernels& {
    std::string capability = at::get_cpu_capability();
    if (capability == "AVX512") return regraft::kernels_avx512();
    if (capability == "AVX2") return regraft::kernels_avx2();
    return regraft::kernels_base();
  }();
  return chosen;
#else
  return regraft::kernels_base();
#endif
}

// A map seen as rows of channels.
struct Rows {
  int64_t count, channels, per_chunk, chunks;

  explicit Rows(const Tensor& x) : count(x.numel() / x.size(1)), channels(x.size(1)) {
    per_chunk = std::max<int64_t>(1, CHUNK / channels);
    chunks = (count + per_chunk - 1) / per_chunk;
  }

  // Calls body(chunk, first element, rows) on libtorch's own threads: an iteration over the chunks' numbers is what it
  // offers for that to a program that is not compiled with the same OpenMP.
  template <typename F>
  void each(F&& body) const {
    auto numbers = at::arange(chunks, at::kLong);
    auto iteration = at::TensorIteratorConfig().add_output(numbers).add_const_input(numbers).build();
    auto loop = [&](char** pointers, const int64_t* strides, int64_t size, int64_t) {
      for (int64_t i = 0; i < size; ++i) {
        auto chunk = *reinterpret_cast<const int64_t*>(pointers[0] + i * strides[0]);
        int64_t first = chunk * per_chunk;
        body(chunk, first * channels, std::min(per_chunk, count - first));
      }
    };
    iteration.for_each(loop, /*grain_size=*/1);
  }

  // The sums over all chunks of two vectors that body(first element, rows, one, other) adds to.
  template <typename F>
  std::pair<std::vector<double>, std::vector<double>> sums(F&& body) const {
    std::vector<float> partial(2 * channels * chunks, 0.0f);
    each([&](int64_t chunk, int64_t at, int64_t rows) {
      float* mine = partial.data() + 2 * channels * chunk;
      body(at, rows, mine, mine + channels);
    });
    std::vector<double> one(channels, 0.0), other(channels, 0.0);
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      const float* part = partial.data() + 2 * channels * chunk;
      for (int64_t c = 0; c < channels; ++c) {
        one[c] += part[c];
        other[c] += part[channels + c];
      }
    }
    return {std::move(one), std::move(other)};
  }
};

template <typename T>
T* data(const Tensor& x) {
  return x.defined() ? static_cast<T*>(const_cast<void*>(x.const_data_ptr())) : nullptr;
}

// Calls body with the kernels of the tensor's kind, and a null pointer of its element type.
template <typename F>
void with_kind(const Tensor& x, F&& body) {
  if (x.scalar_type() == at::kBFloat16)
    body(kernels().bf16, static_cast<uint16_t*>(nullptr));
  else
    body(kernels().f32, static_cast<float*>(nullptr));
}

// x · scale + offset is the normalised x.
struct Normalisation {
  std::vector<float> scale, offset;

  Normalisation(const Tensor& weight, const Tensor& bias, const Tensor& mean, const Tensor& inverse_std)
      : scale(weight.numel()), offset(weight.numel()) {
    const auto *w = data<float>(weight), *b = data<float>(bias), *m = data<float>(mean), *s = data<float>(inverse_std);
    for (size_t c = 0; c < scale.size(); ++c) {
      scale[c] = w[c] * s[c];
      offset[c] = b[c] - m[c] * scale[c];
    }
  }

  Affine with(Activation activation) const { return {scale.data(), offset.data(), activation}; }
};

struct Norm : torch::autograd::Function<Norm> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const Tensor& running_mean, const Tensor& running_variance, const std::optional<Tensor>& maybe_added, bool train,
                        double momentum, double eps, int64_t activation_number) {
    RECORD_FUNCTION("regraft::norm", std::vector<c10::IValue>({x}));
    Rows rows(x);
    auto activation = static_cast<Activation>(activation_number);
    auto added = maybe_added.value_or(Tensor());
    auto mean = at::empty_like(running_mean), inverse_std = at::empty_like(running_mean);
    auto *m = data<float>(mean), *s = data<float>(inverse_std);
    auto *running_m = data<float>(running_mean), *running_v = data<float>(running_variance);
    if (train) {
      statistics(x, rows, m, s);
      auto n = static_cast<double>(rows.count);
      for (int64_t c = 0; c < rows.channels; ++c) {
        double variance = s[c];
        running_m[c] = static_cast<float>((1 - momentum) * running_m[c] + momentum * m[c]);
        running_v[c] = static_cast<float>((1 - momentum) * running_v[c] + momentum * variance * n / (n - 1));
        s[c] = static_cast<float>(1 / std::sqrt(variance + eps));
      }
    } else {
      for (int64_t c = 0; c < rows.channels; ++c) {
        m[c] = running_m[c];
        s[c] = static_cast<float>(1 / std::sqrt(running_v[c] + eps));
      }
    }
    auto y = at::empty_like(x);
    Normalisation normalisation(weight, bias, mean, inverse_std);
    with_kind(x, [&](auto& kernels, auto* element) {
      using T = std::remove_pointer_t<decltype(element)>;
      const auto *from = data<T>(x), *also = data<T>(added);
      auto* to = data<T>(y);
      rows.each([&](int64_t, int64_t at, int64_t count) {
        kernels.apply(from + at, also ? also + at : nullptr, count, rows.channels, normalisation.with(activation), to + at);
      });
    });
    // an addition alone does not need what was added for its gradient
    ctx->save_for_backward({x, weight, bias, mean, inverse_std, activation == Activation::linear ? Tensor() : added});
    ctx->saved_data["train"] = train;
    ctx->saved_data["adds"] = added.defined();
    ctx->saved_data["activation"] = activation_number;
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "the gradient of regraft's batch norm has no gradient itself");
    RECORD_FUNCTION("regraft::norm_backward", std::vector<c10::IValue>());
    auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &bias = saved[2], &mean = saved[3], &inverse_std = saved[4];
    const auto& added = saved[5];
    auto activation = static_cast<Activation>(ctx->saved_data["activation"].toInt());
    bool train = ctx->saved_data["train"].toBool();
    bool wants_x = ctx->needs_input_grad(0), wants_affine = ctx->needs_input_grad(1) || ctx->needs_input_grad(2);
    bool wants_added = ctx->saved_data["adds"].toBool() && ctx->needs_input_grad(5);
    auto dy = gradients[0].to(x.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);

    Rows rows(x);
    Normalisation normalisation(weight, bias, mean, inverse_std);
    auto affine = normalisation.with(activation);
    const auto *m = data<float>(mean), *s = data<float>(inverse_std);
    Tensor dx, dweight, dbias, dadded;
    bool linear = activation == Activation::linear;
    if (wants_added) dadded = linear ? dy : at::empty_like(x);
    with_kind(x, [&](auto& kernels, auto* element) {
      using T = std::remove_pointer_t<decltype(element)>;
      const auto *from = data<T>(x), *also = data<T>(added), *above = data<T>(dy);
      std::vector<double> sum(rows.channels), products(rows.channels);
      if (train || wants_affine) {
        std::tie(sum, products) = rows.sums([&](int64_t at, int64_t count, float* one, float* other) {
          kernels.gradient_sums(above + at, from + at, also ? also + at : nullptr, count, rows.channels, affine, m, one, other);
        });
      }
      if (wants_affine) {
        dweight = at::empty_like(weight);
        dbias = at::empty_like(bias);
        auto *dw = data<float>(dweight), *db = data<float>(dbias);
        for (int64_t c = 0; c < rows.channels; ++c) {
          dw[c] = static_cast<float>(products[c] * s[c]);
          db[c] = static_cast<float>(sum[c]);
        }
      }
      if (!wants_x && (!wants_added || linear)) return;
      std::vector<float> factor(rows.channels), constant(rows.channels);
      for (int64_t c = 0; train && c < rows.channels; ++c) {
        double slope = normalisation.scale[c], n = static_cast<double>(rows.count), inverse = s[c];
        factor[c] = static_cast<float>(-slope * inverse * inverse * products[c] / n);
        constant[c] = static_cast<float>(-slope * sum[c] / n);
      }
      regraft::InputGradient input{normalisation.scale.data(), m, factor.data(), constant.data()};
      dx = at::empty_like(x);
      auto *to = data<T>(dx), *to_added = linear ? nullptr : data<T>(dadded);
      rows.each([&](int64_t, int64_t at, int64_t count) {
        kernels.gradients(above + at, from + at, also ? also + at : nullptr, count, rows.channels, affine, input, to + at,
                          to_added ? to_added + at : nullptr);
      });
    });
    return {wants_x ? dx : Tensor(), dweight, dbias, Tensor(), Tensor(), dadded, Tensor(), Tensor(), Tensor(), Tensor()};
  }

  // The mean and the biased variance of each channel.
  static void statistics(const Tensor& x, const Rows& rows, float* mean, float* variance) {
    with_kind(x, [&](auto& kernels, auto* element) {
      using T = std::remove_pointer_t<decltype(element)>;
      const auto* from = data<T>(x);
      // Sums of distances from the first row lose nothing where the mean is far from zero.
      auto first = x.flatten(2).select(2, 0).select(0, 0).to(at::kFloat).contiguous();
      const auto* shift = data<float>(first);
      auto [sum, squares] = rows.sums([&](int64_t at, int64_t count, float* one, float* other) {
        kernels.sums(from + at, count, rows.channels, shift, one, other);
      });
      auto n = static_cast<double>(rows.count);
      for (int64_t c = 0; c < rows.channels; ++c) {
        double offset = sum[c] / n, spread = squares[c] / n - offset * offset;
        mean[c] = static_cast<float>(shift[c] + offset);
        variance[c] = static_cast<float>(spread < 0 ? 0 : spread);
      }
    });
  }
};

bool is_map(const Tensor& x) {
  return x.device().is_cpu() && x.dim() == 4 && x.is_contiguous(at::MemoryFormat::ChannelsLast) && x.numel() > 0 &&
         (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

bool is_vector(const Tensor& x, int64_t channels) {
  return x.defined() && x.device().is_cpu() && x.scalar_type() == at::kFloat && x.numel() == channels && x.is_contiguous();
}
}  // namespace

extern "C" {

// Whether regraft_norm takes these tensors; libtorch's own operations do for the rest. `added` may be null.
int regraft_norm_takes(const Tensor* x, const Tensor* weight, const Tensor* running_mean, const Tensor* added, int* out) {
  return regraft::guarded([&] {
    *out = is_map(*x) && is_vector(*weight, x->size(1)) && is_vector(*running_mean, x->size(1)) &&
           !torch::jit::tracer::isTracing() &&
           (!added || (is_map(*added) && added->sizes() == x->sizes() && added->scalar_type() == x->scalar_type()));
  });
}

int regraft_norm(const Tensor* x, const Tensor* weight, const Tensor* bias, const Tensor* running_mean,
                 const Tensor* running_variance, const Tensor* added, int train, double momentum, double eps,
                 int activation, Tensor** out) {
  return regraft::guarded([&] {
    auto y = Norm::apply(*x, *weight, *bias, *running_mean, *running_variance,
                         added ? std::make_optional(*added) : std::nullopt, train != 0,
                         momentum, eps, static_cast<int64_t>(activation));
    *out = new Tensor(std::move(y));
  });
}

}  // extern "C"
