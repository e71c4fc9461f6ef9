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

// Lets batch norm and dropout ask their module whether it trains, where tracing wrote down a constant. Answers how many
// constants said "evaluate" and how many "train".
std::pair<int, int> follow_training(torch::jit::Graph& graph);
}  // namespace regraft
