// Gradient reversal: the identity forward, and backward the gradient times a negative number.
//
// Also registered as the operator `regraft::grad_reverse`, so that TorchScript modules can hold it. The registration lives in this
// file beside a function that Rust calls; in a file of its own the linker would drop it.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "shim.h"

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {
struct GradReverse : torch::autograd::Function<GradReverse> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, double factor) {
    ctx->saved_data["factor"] = factor;
    // a view: where the input itself came back, autograd would see no operation here
    return x.view_as(x);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    auto factor = ctx->saved_data["factor"].toDouble();
    // made of differentiable operations, so that it can be differentiated again
    return {grads[0].defined() ? grads[0].mul(-factor) : Tensor(), Tensor()};
  }
};

Tensor grad_reverse(const Tensor& x, double factor) { return GradReverse::apply(x, factor); }
}  // namespace

TORCH_LIBRARY(regraft, library) { library.def("grad_reverse(Tensor x, float factor) -> Tensor", &grad_reverse); }

extern "C" {

int regraft_grad_reverse(const Tensor* x, double factor, Tensor** out) {
  return regraft::guarded([&] { *out = new Tensor(grad_reverse(*x, factor)); });
}

}  // extern "C"
