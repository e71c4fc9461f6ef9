// The loops of batch normalisation, compiled once for each kind of processor; see norm.cpp.
//
// Everything works on rows of C channels that lie one after the other in memory (channels last). Elements are float, or
// bfloat16 as its 16 bits; what is computed from them is float. Vectors are of length C.
#pragma once
#include <cstdint>

namespace regraft {

// What follows the normalisation. The numbers are those of `Activation` in src/native/norm.rs.
enum class Activation : int { linear = 0, relu = 1, relu6 = 2, silu = 3, hardswish = 4 };

// z = x · scale + offset (+ added), y = activation(z).
struct Affine {
  const float* scale;
  const float* offset;
  Activation activation;
};

// dx = slope · dz + (x - mean) · factor + constant, the gradient through the batch's own statistics.
struct InputGradient {
  const float* slope;
  const float* mean;
  const float* factor;
  const float* constant;
};

template <typename T>
struct NormKernels {
  // sum += Σ (x - shift), squares += Σ (x - shift)².
  void (*sums)(const T* x, int64_t rows, int64_t channels, const float* shift, float* sum, float* squares);
  // `added` may be null.
  void (*apply)(const T* x, const T* added, int64_t rows, int64_t channels, Affine affine, T* y);
  // With dz the gradient of z for dy, that of y: sum += Σ dz, products += Σ dz · (x - mean).
  void (*gradient_sums)(const T* dy, const T* x, const T* added, int64_t rows, int64_t channels, Affine affine,
                        const float* mean, float* sum, float* products);
  // Writes dx, and dz where `dadded` is not null.
  void (*gradients)(const T* dy, const T* x, const T* added, int64_t rows, int64_t channels, Affine affine,
                    InputGradient input, T* dx, T* dadded);
};

struct Kernels {
  NormKernels<float> f32;
  NormKernels<uint16_t> bf16;
};

// For any processor of the architecture that is compiled for; the others exist on x86-64 only.
const Kernels& kernels_base();
const Kernels& kernels_avx2();
const Kernels& kernels_avx512();

}  // namespace regraft
