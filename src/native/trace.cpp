// Writes down what Rust computes as a TorchScript module with the same parameters under the same names.
#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/normalize_ops.h>
#include <torch/csrc/jit/passes/shape_analysis.h>

#include <functional>
#include <map>
#include <vector>

#include "script.h"
#include "shim.h"

using at::Tensor;
using regraft::Script;
using namespace torch::jit;

namespace {
struct Tree {
  std::map<std::string, Tree> children;
  std::map<std::string, std::pair<Tensor, bool>> tensors;
};

// A module for every step of the dotted names, as PyTorch would have it.
Module assemble(const Tree& node, const std::string& name, const std::shared_ptr<CompilationUnit>& unit) {
  Module module(c10::QualifiedName(name), unit, /*shouldMangle=*/true);
  module.register_attribute("training", c10::BoolType::get(), false);
  for (const auto& [key, tensor] : node.tensors) module.register_parameter(key, tensor.first, /*is_buffer=*/!tensor.second);
  for (const auto& [key, child] : node.children) module.register_module(key, assemble(child, "__torch__.regraft.Layer", unit));
  return module;
}

// Tells the tracer that a tensor of the module is read from it, and not a constant.
void register_tensors(tracer::TracingState& state, const Module& module, Value* value) {
  const auto& type = module.type();
  for (size_t slot = 0; slot < type->numAttributes(); ++slot) {
    auto attribute = module._ivalue()->getSlot(slot);
    auto read = [&] { return state.graph->insertGetAttr(value, type->getAttributeName(slot)); };
    if (type->getAttribute(slot)->is_module())
      register_tensors(state, attribute.toModule(), read());
    else if (attribute.isTensor())
      state.setValue(attribute, read());
  }
}

// The value of the attribute `path` of `self`, as far as its modules are there; nothing if one is not.
Value* read_attribute(Graph& graph, Value* self, const std::string& path) {
  size_t begin = 0;
  while (true) {
    auto dot = path.find('.', begin);
    auto name = path.substr(begin, dot == std::string::npos ? dot : dot - begin);
    auto type = self->type()->cast<c10::ClassType>();
    if (!type || !type->hasAttribute(name)) return nullptr;
    self = graph.insertGetAttr(self, name);
    if (dot == std::string::npos) return self;
    begin = dot + 1;
  }
}

// Lets a graph that was cut out of `source` read its tensors from another module of the same names, whose type is
// `type`. Modes are asked of it too; all other attributes are written down.
void move_to(Graph& graph, const Module& source, const TypePtr& type) {
  Value* old = graph.inputs()[0];
  Value* self = graph.insertInput(0, "self")->setType(type);
  std::vector<Node*> reads;
  std::function<void(Block*)> collect = [&](Block* block) {
    for (Node* node : block->nodes()) {
      TORCH_CHECK(node->kind() != prim::SetAttr, "its forward changes the attribute `", node->s(attr::name), "`");
      if (node->kind() == prim::GetAttr && !node->output()->type()->cast<c10::ClassType>()) reads.push_back(node);
      for (Block* inner : node->blocks()) collect(inner);
    }
  };
  collect(graph.block());
  for (Node* node : reads) {
    auto path = regraft::path_of(node->output(), old);
    TORCH_CHECK(path, "it reads an attribute of something that is no part of it");
    WithInsertPoint before(node);
    Value* value = nullptr;
    auto [owner, name] = regraft::owner_of(source, *path);
    auto attribute = owner.attr(name);
    if (attribute.isTensor() || name == "training") value = read_attribute(graph, self, *path);
    // a layer without tensors, as dropout, is no part of the new module
    if (!value && name == "training") value = graph.insertGetAttr(self, name);
    if (!value) value = graph.insertConstant(attribute);
    node->output()->replaceAllUsesWith(value);
  }
  // what is left of the chains that led to the attributes
  EliminateDeadCode(graph.block());
  TORCH_CHECK(old->uses().empty(), "its forward uses a module otherwise than by its attributes");
  graph.eraseInput(1);
}
}  // namespace

Tensor regraft::record_features(Script& script, const Tensor& x) {
  auto state = tracer::getTracingState();
  tracer::setTracingState(nullptr);
  Tensor features;
  try {
    Stack stack{script.module._ivalue(), x};
    script.features->run(stack);
    features = stack.at(0).toTensor();
    auto graph = script.features->graph()->copy();
    auto* self = state->graph->inputs()[0];
    move_to(*graph, script.module, self->type());
    auto outputs = insertGraph(*state->graph, *graph, {self, state->getValue(x)});
    tracer::setTracingState(state);
    state->setValue(features, outputs.at(0));
  } catch (...) {
    tracer::setTracingState(state);
    throw;
  }
  return features;
}

extern "C" {

// From here to the end, what this thread computes from `x` is written down; `class_name` is what Python shows.
int regraft_trace_begin(const char* class_name, const char* const* names, Tensor* const* tensors, const int* learn,
                        int64_t count, const Tensor* x, Script** out) {
  return regraft::guarded([&] {
    TORCH_CHECK(!tracer::isTracing(), "a trace is being made already");
    Tree root;
    for (int64_t i = 0; i < count; ++i) {
      Tree* node = &root;
      std::string name = names[i];
      for (size_t dot; (dot = name.find('.')) != std::string::npos; name = name.substr(dot + 1))
        node = &node->children[name.substr(0, dot)];
      node->tensors.emplace(name, std::make_pair(*tensors[i], learn[i] != 0));
    }
    auto module = assemble(root, std::string("__torch__.regraft.") + class_name, std::make_shared<CompilationUnit>());
    auto state = std::make_shared<tracer::TracingState>();
    state->warn = false;
    state->force_outplace = true;
    auto* self = state->graph->addInput("self");
    self->setType(module._ivalue()->type());
    auto* image = state->graph->addInput("x");
    image->setType(c10::TensorType::get());
    state->setValue(*x, image);
    register_tensors(*state, module, self);
    tracer::setTracingState(state);
    *out = new Script{std::move(module), nullptr};
  });
}

int regraft_trace_end(Script* script, const Tensor* output) {
  return regraft::guarded([&] {
    auto state = tracer::getTracingState();
    TORCH_CHECK(state, "no trace is being made");
    auto graph = state->graph;
    graph->registerOutput(state->getOutput(*output, 0));
    tracer::setTracingState(nullptr);
    NormalizeOps(graph);
    EliminateDeadCode(graph);
    EraseShapeInformation(graph);
    regraft::follow_training(*graph, /*only_evaluating=*/true);
    const auto& type = script->module.type();
    auto* forward = script->module._ivalue()->compilation_unit()->create_function(
        c10::QualifiedName(*type->name(), "forward"), graph);
    type->addMethod(forward);
  });
}

void regraft_trace_abandon() { tracer::abandon(); }

}  // extern "C"
