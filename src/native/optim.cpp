// libtorch's fused optimizer kernels: one call steps every parameter of a group, on the CPU and on CUDA.
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

#include <optional>
#include <vector>

#include "shim.h"

using at::Tensor;

namespace {
std::vector<Tensor> list(Tensor* const* tensors, int64_t count) {
  std::vector<Tensor> out;
  out.reserve(count);
  for (int64_t i = 0; i < count; ++i) out.push_back(*tensors[i]);
  return out;
}
}  // namespace

extern "C" {

// `steps` are 0-dimensional f32 tensors, one per parameter, and are advanced here.
int regraft_fused_adamw(Tensor* const* params, Tensor* const* grads, Tensor* const* first, Tensor* const* second,
                        Tensor* const* steps, int64_t count, double lr, double beta1, double beta2,
                        double weight_decay, double eps) {
  return regraft::guarded([&] {
    c10::AutoGradMode no_grad(false);
    auto step_list = list(steps, count);
    at::_foreach_add_(step_list, 1);
    at::_fused_adamw_(list(params, count), list(grads, count), list(first, count), list(second, count), {}, step_list,
                      lr, beta1, beta2, weight_decay, eps, /*amsgrad=*/false, /*maximize=*/false);
  });
}

int regraft_fused_sgd(Tensor* const* params, Tensor* const* grads, Tensor* const* momenta, int64_t count, double lr,
                      double momentum, double weight_decay, int nesterov, int first_step) {
  return regraft::guarded([&] {
    c10::AutoGradMode no_grad(false);
    auto buffers = momentum == 0.0 ? std::vector<Tensor>{} : list(momenta, count);
    at::_fused_sgd_(list(params, count), list(grads, count), buffers, weight_decay, momentum, lr,
                    /*dampening=*/0.0, nesterov != 0, /*maximize=*/false, first_step != 0);
  });
}

// The 2-norm of every tensor, without a synchronisation in between.
int regraft_foreach_norm(Tensor* const* tensors, int64_t count, Tensor** out) {
  return regraft::guarded([&] {
    c10::AutoGradMode no_grad(false);
    auto norms = at::_foreach_norm(list(tensors, count), 2);
    *out = new Tensor(at::stack(norms).norm(2));
  });
}

}  // extern "C"
