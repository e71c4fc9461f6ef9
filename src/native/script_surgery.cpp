// Finds the head of a TorchScript classifier in its graph, and cuts the features out before it.
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/inliner.h>

#include <algorithm>
#include <sstream>
#include <unordered_set>

#include "script.h"
#include "shim.h"

using regraft::Script;
using regraft::path_of;
using namespace torch::jit;

namespace {
using Values = std::unordered_set<const Value*>;

bool is_dropout(const Node* node) {
  return node->kind() == aten::dropout || node->kind() == aten::dropout_ || node->kind() == aten::feature_dropout;
}

bool is_convolution(const Node* node) {
  static const std::unordered_set<Symbol> kinds{aten::conv2d, aten::_convolution, aten::convolution};
  return kinds.count(node->kind()) > 0;
}

bool uses(const Node* node, const Values& values);
bool uses(const Block* block, const Values& values) {
  auto inside = [&](const Node* node) { return uses(node, values); };
  auto outputs = block->outputs();
  return std::any_of(block->nodes().begin(), block->nodes().end(), inside) ||
         std::any_of(outputs.begin(), outputs.end(), [&](const Value* v) { return values.count(v) > 0; });
}
bool uses(const Node* node, const Values& values) {
  auto inputs = node->inputs();
  return std::any_of(inputs.begin(), inputs.end(), [&](const Value* v) { return values.count(v) > 0; }) ||
         std::any_of(node->blocks().begin(), node->blocks().end(), [&](const Block* b) { return uses(b, values); });
}

// Everything at the top level that is computed from `values`, with them.
Values depending_on(const Graph& graph, Values values) {
  for (const Node* node : graph.nodes())
    if (uses(node, values)) values.insert(node->outputs().begin(), node->outputs().end());
  return values;
}

template <typename F>
void each_node(Block* block, F&& visit) {
  for (Node* node : block->nodes()) {
    visit(node);
    for (Block* inner : node->blocks()) each_node(inner, visit);
  }
}

std::string parent(const std::string& path) {
  auto dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

// What a cut needs to know, and what is told of the module.
struct Found {
  std::string head;                // path of the module that is the head
  std::vector<std::string> after;  // operations between the head and the output
};

// The weight of a linear layer: a parameter, or the transpose of one in files from before PyTorch 1.7.
std::optional<std::string> linear_weight(const Node* node, const Value* self) {
  if (node->kind() == aten::linear) return path_of(node->input(1), self);
  if (node->kind() == aten::addmm && node->input(2)->node()->kind() == aten::t)
    return path_of(node->input(2)->node()->input(0), self);
  return std::nullopt;
}

// Walks back from the output to the last linear layer.
Found find_head(const Graph& graph, const Values& from_image) {
  const Value* self = graph.inputs()[0];
  Found found;
  std::string convolution;
  const Value* value = graph.outputs()[0];
  while (value != graph.inputs()[1]) {
    const Node* node = value->node();
    TORCH_CHECK(node->kind() != aten::linear || node->input(1)->node()->kind() != prim::Constant,
                "it was frozen (torch.jit.freeze), so its weights are constants; save it before freezing");
    TORCH_CHECK(node->kind() != aten::linear || linear_weight(node, self), "the weight of its last linear layer is computed (",
                node->input(1)->node()->kind().toQualString(), "); take the parametrisation off before saving");
    if (auto weight = linear_weight(node, self)) {
      auto name = weight->substr(weight->rfind('.') + 1);
      TORCH_CHECK(name == "weight" && weight->size() > name.size(), "its last linear layer multiplies by `", *weight,
                  "`, which is no nn.Linear");
      found.head = parent(*weight);
      return found;
    }
    if (is_convolution(node) && convolution.empty())
      if (auto weight = path_of(node->input(1), self)) convolution = parent(*weight);
    TORCH_CHECK(node->blocks().empty(), "its output comes out of a branch or loop (", node->kind().toQualString(),
                "), behind which no head can be found");
    auto inputs = node->inputs();
    auto next = std::find_if(inputs.begin(), inputs.end(), [&](const Value* v) { return from_image.count(v) > 0; });
    if (next == inputs.end()) break;
    if (!is_dropout(node)) found.after.push_back(node->kind().toQualString());
    value = *next;
  }
  TORCH_CHECK(convolution.empty(), "it holds no linear layer on the way to its output; the last layer is the convolution `",
              convolution, "`");
  TORCH_CHECK(false, "it holds no linear layer on the way to its output");
}

// Arithmetic on the image before any layer: the module normalises by itself.
std::vector<std::string> arithmetic_before_layers(const Graph& graph, const Values& from_image) {
  static const std::unordered_set<Symbol> arithmetic{aten::sub, aten::sub_, aten::div, aten::div_,  aten::mul,
                                                     aten::mul_, aten::add, aten::add_, aten::rsub};
  std::vector<std::string> found;
  for (const Node* node : graph.nodes()) {
    if (!uses(node, from_image)) continue;
    if (is_convolution(node) || node->kind() == aten::linear || !node->blocks().empty()) break;
    if (arithmetic.count(node->kind())) found.push_back(node->kind().toQualString());
  }
  return found;
}

// Makes the graph end in what the head is given. Answers the share that was dropped on the way.
double cut(Graph& graph, const std::string& head, const Values& from_image) {
  const Value* self = graph.inputs()[0];
  Values parameters;
  each_node(graph.block(), [&](Node* node) {
    if (node->kind() != prim::GetAttr) return;
    auto path = path_of(node->output(), self);
    if (path && path->rfind(head + ".", 0) == 0) parameters.insert(node->output());
  });
  TORCH_CHECK(!parameters.empty(), "its forward does not use a layer `", head, "`");
  auto of_head = depending_on(graph, parameters);
  for (Node* node : graph.nodes()) {
    if (!uses(node, of_head) || !uses(node, from_image)) continue;
    TORCH_CHECK(node->blocks().empty(), "its layer `", head, "` lies in a branch or loop (", node->kind().toQualString(), ")");
    auto inputs = node->inputs();
    auto is_features = [&](const Value* v) { return from_image.count(v) && !of_head.count(v); };
    auto features = std::find_if(inputs.begin(), inputs.end(), is_features);
    TORCH_CHECK(features != inputs.end(), "its layer `", head, "` is given nothing that comes from the image");
    Value* value = *features;
    double dropped = 0;
    while (is_dropout(value->node())) {
      // a dropout in place would stay, and drop from the features
      Node* dropout = value->node();
      if (auto share = toIValue(dropout->input(1))) dropped = share->toDouble();
      value = dropout->input(0);
      dropout->output()->replaceAllUsesWith(value);
      dropout->destroy();
    }
    graph.eraseOutput(0);
    graph.registerOutput(value);
    return dropped;
  }
  TORCH_CHECK(false, "its layer `", head, "` is given nothing that comes from the image");
}

bool is_normalisation(const Node* node) {
  static const std::unordered_set<Symbol> kinds{aten::batch_norm, aten::layer_norm, aten::group_norm, aten::instance_norm};
  return kinds.count(node->kind()) > 0;
}

// In the order of first use: `uses NAME` of every tensor, `norm PATH` of normalisations, `batch_norm PATH` of those with
// statistics.
void list_uses(Graph& graph, std::ostream& out) {
  const Value* self = graph.inputs()[0];
  std::unordered_set<std::string> seen;
  each_node(graph.block(), [&](Node* node) {
    if (node->kind() == prim::GetAttr) return;
    for (const Value* input : node->inputs()) {
      if (!input->type()->isSubtypeOf(*c10::TensorType::get())) continue;
      auto path = path_of(input, self);
      if (!path || !seen.insert(*path).second) continue;
      out << "uses\t" << *path << '\n';
      if (is_normalisation(node) && seen.insert(parent(*path) + "\n").second) {
        out << "norm\t" << parent(*path) << '\n';
        if (node->kind() == aten::batch_norm) out << "batch_norm\t" << parent(*path) << '\n';
      }
    }
  });
}

bool asks_for_mode(Graph& graph) {
  bool found = false;
  each_node(graph.block(), [&](Node* node) {
    found |= node->kind() == prim::GetAttr && node->s(attr::name) == "training";
  });
  return found;
}

// Writes plain attributes that forward never changes into the graph, so that branches on them are decided.
void settle_attributes(Graph& graph, const Module& module) {
  const Value* self = graph.inputs()[0];
  std::unordered_set<std::string> changed{"training"};
  std::vector<Node*> reads;
  each_node(graph.block(), [&](Node* node) {
    if (node->kind() == prim::SetAttr) changed.insert(node->s(attr::name));
    if (node->kind() == prim::GetAttr) reads.push_back(node);
  });
  for (Node* node : reads) {
    auto path = path_of(node->output(), self);
    if (!path || changed.count(node->s(attr::name))) continue;
    auto [owner, name] = regraft::owner_of(module, *path);
    auto value = owner.attr(name);
    if (!value.isBool() && !value.isInt() && !value.isDouble() && !value.isNone()) continue;
    WithInsertPoint before(node);
    node->output()->replaceAllUsesWith(graph.insertConstant(value));
  }
}

std::shared_ptr<Graph> inlined(const Module& module) {
  auto method = module.find_method("forward");
  TORCH_CHECK(method, "it has no method `forward`");
  auto graph = method->graph()->copy();
  Inline(*graph);
  settle_attributes(*graph, module);
  ConstantPropagation(graph);
  TORCH_CHECK(graph->inputs().size() == 2, "its forward takes ", graph->inputs().size() - 1,
              " inputs; expected one, a batch of images");
  auto takes = graph->inputs()[1]->type();
  TORCH_CHECK(takes->isSubtypeOf(*c10::TensorType::get()), "its forward takes ", takes->repr_str(), "; expected one tensor");
  auto gives = graph->outputs()[0]->type();
  TORCH_CHECK(gives->isSubtypeOf(*c10::TensorType::get()), "its forward returns ", gives->repr_str(),
              "; expected one tensor, the logits");
  return graph;
}
}  // namespace

std::optional<std::string> regraft::path_of(const Value* value, const Value* self) {
  std::string path;
  for (; value != self; value = value->node()->input(0)) {
    if (value->node()->kind() != prim::GetAttr) return std::nullopt;
    const auto& name = value->node()->s(attr::name);
    path = path.empty() ? name : name + "." + path;
  }
  return path;
}

std::pair<int, int> regraft::follow_training(Graph& graph, bool only_evaluating) {
  int evaluating = 0, training = 0;
  std::vector<Node*> counters;
  for (Node* node : graph.nodes()) {
    // tracing in training mode counts batches even where nothing trains
    if (node->kind() != aten::add_ || node->input(0)->node()->kind() != prim::GetAttr) continue;
    if (node->input(0)->node()->s(attr::name) == "num_batches_tracked") counters.push_back(node);
  }
  for (Node* node : counters) {
    node->output()->replaceAllUsesWith(node->input(0));
    node->destroy();
  }
  each_node(graph.block(), [&](Node* node) {
    size_t flag;
    Value* module = graph.inputs()[0];
    if (node->kind() == aten::batch_norm) {
      flag = 5;
      // the layer itself decides: it is the owner of the running mean
      Value* mean = node->input(3);
      if (mean->mustBeNone()) return;  // it has no statistics to fall back on
      if (mean->node()->kind() == prim::GetAttr) module = mean->node()->input(0);
    } else if (is_dropout(node)) {
      flag = 2;
    } else {
      return;
    }
    auto constant = toIValue(node->input(flag));
    if (!constant) return;
    auto type = module->type()->cast<c10::ClassType>();
    if (!type || !type->hasAttribute("training") || (only_evaluating && constant->toBool())) return;
    (constant->toBool() ? training : evaluating) += 1;
    WithInsertPoint before(node);
    node->replaceInput(flag, graph.insertGetAttr(module, "training"));
  });
  return {evaluating, training};
}

// Looks for the head, or takes the layer `wanted` for it, and prepares `regraft_script_features`. The text has a line per
// finding: `head PATH`, `dropped SHARE`, `after OPERATION`, `arithmetic OPERATION`, `baked EVALUATING TRAINING`, and
// what `list_uses` lists.
extern "C" int regraft_script_analyse(Script* script, const char* wanted, char** text) {
  return regraft::guarded([&] {
    auto graph = inlined(script->module);
    auto from_image = depending_on(*graph, {graph->inputs()[1]});
    Found found;
    if (!wanted) {
      found = find_head(*graph, from_image);
    } else {
      // what follows a head that was named is known only where it is the last one, or made of the last one
      try {
        found = find_head(*graph, from_image);
      } catch (const c10::Error&) {
      }
      if (found.head != wanted && found.head.rfind(std::string(wanted) + ".", 0) != 0) found.after = {"other layers"};
      found.head = wanted;
    }
    std::ostringstream lines;
    lines << "head\t" << found.head << '\n';
    for (const auto& kind : found.after) lines << "after\t" << kind << '\n';
    for (const auto& kind : arithmetic_before_layers(*graph, from_image)) lines << "arithmetic\t" << kind << '\n';
    lines << "dropped\t" << cut(*graph, found.head, from_image) << '\n';
    EliminateDeadCode(graph);
    // what was scripted asks already, and a constant in it is meant
    std::pair<int, int> baked{0, 0};
    if (!asks_for_mode(*graph)) baked = regraft::follow_training(*graph, /*only_evaluating=*/false);
    lines << "baked\t" << baked.first << '\t' << baked.second << '\n';
    list_uses(*graph, lines);
    script->features = std::make_unique<GraphFunction>("features", graph, nullptr);
    *text = regraft::duplicate(lines.str());
  });
}
