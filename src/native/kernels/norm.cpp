// The loops of batch normalisation. build.rs compiles this file once for each kind of processor, with REGRAFT_KERNELS as
// the name of what it defines, and the compiler makes vector instructions of the loops over channels.
#include "norm.h"

#include <cstring>
#include <type_traits>

namespace {
using regraft::Activation;
using regraft::Affine;
using regraft::InputGradient;

inline float load(const float* p, int64_t i) { return p[i]; }

inline float load(const uint16_t* p, int64_t i) {
  uint32_t bits = static_cast<uint32_t>(p[i]) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline void store(float* p, int64_t i, float value) { p[i] = value; }

// Rounded to the nearest, ties to even; a NaN stays one.
inline void store(uint16_t* p, int64_t i, float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  p[i] = static_cast<uint16_t>(value == value ? rounded : 0x7fc0u);
}

// e^x to about 2 units in the last place, without a call, so that loops around it become vectors (the reduction and the
// polynomial of the Cephes library). Beyond ±87 it stays at the end, which a sigmoid cannot tell from 0 or 1.
inline float exponential(float x) {
  x = x > 87.0f ? 87.0f : (x < -87.0f ? -87.0f : x);
  float n = x * 1.44269504f + 12582912.0f;  // rounds: there are no bits left below 1
  uint32_t bits;
  std::memcpy(&bits, &n, sizeof bits);
  n -= 12582912.0f;
  float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  uint32_t power = (bits + 127u) << 23;
  float scale;
  std::memcpy(&scale, &power, sizeof scale);
  return p * scale;
}

inline float sigmoid(float z) { return 1.0f / (1.0f + exponential(-z)); }

// Comparisons are written so that a NaN passes.
template <Activation A>
inline float activate(float z) {
  switch (A) {
    case Activation::linear: return z;
    case Activation::relu: return z < 0.0f ? 0.0f : z;
    case Activation::relu6: return z < 0.0f ? 0.0f : (z > 6.0f ? 6.0f : z);
    case Activation::silu: return z * sigmoid(z);
    case Activation::hardswish: {
      float gate = z + 3.0f;
      gate = gate < 0.0f ? 0.0f : (gate > 6.0f ? 6.0f : gate);
      return z * gate * (1.0f / 6.0f);
    }
  }
}

// The derivative, with PyTorch's choice where there are two.
template <Activation A>
inline float slope(float z) {
  switch (A) {
    case Activation::linear: return 1.0f;
    case Activation::relu: return z <= 0.0f ? 0.0f : 1.0f;
    case Activation::relu6: return (z <= 0.0f) | (z >= 6.0f) ? 0.0f : 1.0f;
    case Activation::silu: {
      float s = sigmoid(z);
      return s * (1.0f + z * (1.0f - s));
    }
    case Activation::hardswish: return z < -3.0f ? 0.0f : (z <= 3.0f ? z * (1.0f / 3.0f) + 0.5f : 1.0f);
  }
}

template <typename T>
void sums(const T* x, int64_t rows, int64_t channels, const float* __restrict shift, float* __restrict sum,
          float* __restrict squares) {
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4, x += 4 * channels) {
    for (int64_t c = 0; c < channels; ++c) {
      float a = load(x, c) - shift[c], b = load(x, c + channels) - shift[c];
      float d = load(x, c + 2 * channels) - shift[c], e = load(x, c + 3 * channels) - shift[c];
      sum[c] += (a + b) + (d + e);
      squares[c] += (a * a + b * b) + (d * d + e * e);
    }
  }
  for (; row < rows; ++row, x += channels) {
    for (int64_t c = 0; c < channels; ++c) {
      float a = load(x, c) - shift[c];
      sum[c] += a;
      squares[c] += a * a;
    }
  }
}

template <typename T, Activation A, bool Added>
void apply_rows(const T* x, const T* added, int64_t rows, int64_t channels, const float* __restrict scale,
                const float* __restrict offset, T* __restrict y) {
  for (int64_t row = 0; row < rows; ++row) {
    const T *here = x + row * channels, *also = added + (Added ? row * channels : 0);
    T* out = y + row * channels;
    for (int64_t c = 0; c < channels; ++c) {
      float z = load(here, c) * scale[c] + offset[c];
      if (Added) z += load(also, c);
      store(out, c, activate<A>(z));
    }
  }
}

// The gradient of z in one place.
template <typename T, Activation A, bool Added>
inline float gradient(const T* dy, const T* x, const T* added, int64_t at, float scale, float offset) {
  float z = load(x, at) * scale + offset;
  if (Added) z += load(added, at);
  return load(dy, at) * slope<A>(z);
}

template <typename T, Activation A, bool Added>
void gradient_sums_of(const T* dy, const T* x, const T* added, int64_t rows, int64_t channels,
                      const float* __restrict scale, const float* __restrict offset, const float* __restrict mean,
                      float* __restrict sum, float* __restrict products) {
  int64_t row = 0;
  for (; row + 2 <= rows; row += 2, dy += 2 * channels, x += 2 * channels, added += Added ? 2 * channels : 0) {
    for (int64_t c = 0; c < channels; ++c) {
      float a = gradient<T, A, Added>(dy, x, added, c, scale[c], offset[c]);
      float b = gradient<T, A, Added>(dy + channels, x + channels, added + (Added ? channels : 0), c, scale[c], offset[c]);
      sum[c] += a + b;
      products[c] += a * (load(x, c) - mean[c]) + b * (load(x, c + channels) - mean[c]);
    }
  }
  for (; row < rows; ++row, dy += channels, x += channels, added += Added ? channels : 0) {
    for (int64_t c = 0; c < channels; ++c) {
      float a = gradient<T, A, Added>(dy, x, added, c, scale[c], offset[c]);
      sum[c] += a;
      products[c] += a * (load(x, c) - mean[c]);
    }
  }
}

template <typename T, Activation A, bool Added, bool Keep>
void gradients_of(const T* dy, const T* x, const T* added, int64_t rows, int64_t channels,
                  const float* __restrict scale, const float* __restrict offset, InputGradient input,
                  T* __restrict dx, T* __restrict dadded) {
  const float* __restrict by = input.slope;
  const float* __restrict mean = input.mean;
  const float* __restrict factor = input.factor;
  const float* __restrict constant = input.constant;
  for (int64_t row = 0; row < rows; ++row) {
    const T *dy_row = dy + row * channels, *x_row = x + row * channels, *added_row = added + (Added ? row * channels : 0);
    T *dx_row = dx + row * channels, *dadded_row = dadded + (Keep ? row * channels : 0);
    for (int64_t c = 0; c < channels; ++c) {
      float dz = gradient<T, A, Added>(dy_row, x_row, added_row, c, scale[c], offset[c]);
      store(dx_row, c, by[c] * dz + (load(x_row, c) - mean[c]) * factor[c] + constant[c]);
      if (Keep) store(dadded_row, c, dz);
    }
  }
}

// Calls `body` with the activation as a constant.
template <typename F>
inline void with(Activation activation, F&& body) {
  switch (activation) {
    case Activation::linear: return body(std::integral_constant<Activation, Activation::linear>{});
    case Activation::relu: return body(std::integral_constant<Activation, Activation::relu>{});
    case Activation::relu6: return body(std::integral_constant<Activation, Activation::relu6>{});
    case Activation::silu: return body(std::integral_constant<Activation, Activation::silu>{});
    case Activation::hardswish: return body(std::integral_constant<Activation, Activation::hardswish>{});
  }
}

template <typename T>
void apply(const T* x, const T* added, int64_t rows, int64_t channels, Affine affine, T* y) {
  with(affine.activation, [&](auto a) {
    auto function = added ? apply_rows<T, a(), true> : apply_rows<T, a(), false>;
    function(x, added, rows, channels, affine.scale, affine.offset, y);
  });
}

template <typename T>
void gradient_sums(const T* dy, const T* x, const T* added, int64_t rows, int64_t channels, Affine affine,
                   const float* mean, float* sum, float* products) {
  with(affine.activation, [&](auto a) {
    auto function = added ? gradient_sums_of<T, a(), true> : gradient_sums_of<T, a(), false>;
    function(dy, x, added, rows, channels, affine.scale, affine.offset, mean, sum, products);
  });
}

template <typename T>
void gradients(const T* dy, const T* x, const T* added, int64_t rows, int64_t channels, Affine affine,
               InputGradient input, T* dx, T* dadded) {
  with(affine.activation, [&](auto a) {
    auto function = dadded ? (added ? gradients_of<T, a(), true, true> : gradients_of<T, a(), false, true>)
                           : (added ? gradients_of<T, a(), true, false> : gradients_of<T, a(), false, false>);
    function(dy, x, added, rows, channels, affine.scale, affine.offset, input, dx, dadded);
  });
}

template <typename T>
constexpr regraft::NormKernels<T> kernels() {
  return {sums<T>, apply<T>, gradient_sums<T>, gradients<T>};
}
}  // namespace

const regraft::Kernels& regraft::REGRAFT_KERNELS() {
  static const Kernels all{kernels<float>(), kernels<uint16_t>()};
  return all;
}
