// TorchScript modules: load, list, read and write tensors, switch between training and evaluation, run, save.
#include "script.h"

#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <unordered_set>

#include "shim.h"

using at::Tensor;
using regraft::Script;
using torch::jit::Module;

namespace {
std::string joined(const std::string& path, const std::string& name) { return path.empty() ? name : path + "." + name; }

void list(const Module& module, const std::string& path, std::ostream& out) {
  const auto& type = module.type();
  out << "module\t" << path << '\t' << type->name()->qualifiedName() << '\n';
  for (size_t slot = 0; slot < type->numAttributes(); ++slot) {
    const auto name = joined(path, type->getAttributeName(slot));
    const auto value = module._ivalue()->getSlot(slot);
    if (type->getAttribute(slot)->is_module())
      list(value.toModule(), name, out);
    else if (value.isTensor() && value.toTensor().defined())
      out << (type->is_parameter(slot) ? "parameter\t" : "buffer\t") << name << '\n';
  }
}
}  // namespace

std::pair<Module, std::string> regraft::owner_of(Module module, const std::string& path) {
  size_t begin = 0;
  for (size_t dot; (dot = path.find('.', begin)) != std::string::npos; begin = dot + 1)
    module = module.attr(path.substr(begin, dot - begin)).toModule();
  return {module, path.substr(begin)};
}

extern "C" {

// `extra` names a file in the archive, whose contents `text` gets.
int regraft_script_load(const char* path, int device, const char* extra, Script** out, char** text) {
  return regraft::guarded([&] {
    // without it the first steps run a profiler, several times slower than the others
    torch::jit::getProfilingMode() = false;
    torch::jit::ExtraFilesMap files{{extra, ""}};
    auto where = device < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device));
    auto module = torch::jit::load(path, where, files, /*load_debug_files=*/false);
    auto script = std::make_unique<Script>(Script{std::move(module), nullptr});
    *text = regraft::duplicate(files[extra]);
    *out = script.release();
  });
}

void regraft_script_free(Script* script) { delete script; }

// Lines of `module PATH CLASS`, `parameter NAME` and `buffer NAME`, separated by tabs, in order of definition.
int regraft_script_list(const Script* script, char** text) {
  return regraft::guarded([&] {
    std::ostringstream lines;
    list(script->module, "", lines);
    *text = regraft::duplicate(lines.str());
  });
}

int regraft_script_tensor(const Script* script, const char* name, Tensor** out) {
  return regraft::guarded([&] {
    auto [module, attribute] = regraft::owner_of(script->module, name);
    *out = new Tensor(module.attr(attribute).toTensor());
  });
}

// Exactly the modules at `paths` train from now on; the root's path is empty.
int regraft_script_train(Script* script, const char* const* paths, int64_t count) {
  return regraft::guarded([&] {
    std::unordered_set<std::string> training(paths, paths + count);
    for (const auto& item : script->module.named_modules())
      if (auto slot = item.value.type()->findAttributeSlot("training"))
        item.value._ivalue()->setSlot(*slot, training.count(item.name) > 0);
  });
}

int regraft_script_features(Script* script, const Tensor* x, Tensor** out) {
  return regraft::guarded([&] {
    TORCH_CHECK(script->features, "the head of the module has not been looked for");
    if (torch::jit::tracer::isTracing()) {
      *out = new Tensor(regraft::record_features(*script, *x));
      return;
    }
    torch::jit::Stack stack{script->module._ivalue(), *x};
    script->features->run(stack);
    TORCH_CHECK(stack.size() == 1 && stack[0].isTensor(), "its features are not one tensor");
    *out = new Tensor(stack[0].toTensor());
  });
}

int regraft_script_forward(Script* script, const Tensor* x, Tensor** out) {
  return regraft::guarded([&] { *out = new Tensor(script->module.forward({*x}).toTensor()); });
}

// Writes a copy that lies on the CPU and evaluates, with `tensors` in the place of those called `names`.
int regraft_script_save(const Script* script, const char* path, const char* const* names, Tensor* const* tensors,
                        int64_t count, const char* extra, const char* text) {
  return regraft::guarded([&] {
    c10::NoGradGuard no_grad;
    auto copy = script->module.deepcopy(at::Device(at::kCPU));
    auto plain = [](const Tensor& tensor, bool learns) {
      return tensor.detach().to(at::kCPU).contiguous().requires_grad_(learns && tensor.is_floating_point());
    };
    for (int64_t i = 0; i < count; ++i) {
      auto [module, attribute] = regraft::owner_of(copy, names[i]);
      module.setattr(attribute, plain(*tensors[i], true));
    }
    for (const auto& module : copy.modules())
      for (const auto& item : module.named_parameters(/*recurse=*/false))
        Module(module).setattr(item.name, plain(item.value, true));
    copy.eval();
    // through a stream, as libtorch would name the archive after the file, and so write other bytes under another name
    std::ofstream out(path, std::ios::binary);
    copy.save(out, {{extra, text}});
    out.close();
    TORCH_CHECK(out, "the file cannot be written: ", strerror(errno));
  });
}

}  // extern "C"
