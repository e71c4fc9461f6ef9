// A TorchScript module, and the function that computes its features once its head has been found.
#pragma once
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/api/module.h>

#include <memory>
#include <optional>
#include <string>

namespace regraft {
struct Script {
  torch::jit::Module module;
  std::unique_ptr<torch::jit::GraphFunction> features;
};

// The dotted name of what a chain of attribute reads on `self` ends in, or nothing if `value` is no such chain.
std::optional<std::string> path_of(const torch::jit::Value* value, const torch::jit::Value* self);

// Lets batch norm and dropout ask their module whether it trains, where tracing wrote down a constant; of our own traces,
// which are made in evaluation, only those that say so. Answers how many constants said "evaluate" and how many "train".
std::pair<int, int> follow_training(torch::jit::Graph& graph, bool only_evaluating);

// The module that holds the attribute `path`, and the attribute's own name.
std::pair<torch::jit::Module, std::string> owner_of(torch::jit::Module module, const std::string& path);

// Runs the features of `script` while a trace is made, into which their graph goes as it is, branches and all: tracing
// the interpreter would write the sizes of this very batch down.
at::Tensor record_features(Script& script, const at::Tensor& x);
}  // namespace regraft
