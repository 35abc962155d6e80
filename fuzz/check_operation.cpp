// SPDX-License-Identifier: BSD-3-Clause
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <stdexcept>

#include "../csrc/runtime/check_rows.h"
#include "../csrc/runtime/run.h"
#include "../csrc/runtime/run_rows.h"
#include "../csrc/runtime/run_strided.h"
#include "../csrc/runtime/thread_limit.h"
#include "check.h"
#include "reference.h"
#include "request_memory.h"
#include "values.h"

namespace fuzz {
namespace {

struct Call {
  const fastdrop::Isa* isa;
  bool contiguous;
  int threads;

  std::string text(const Case& request) const {
    return request.text() + "  on " + isa->name + (contiguous ? ", contiguous, " : ", as laid out, ") +
           std::to_string(threads) + " threads";
  }
};

// The operands of a call in memory of their own.
class Operands {
 public:
  Operands(const Case& request, bool contiguous) : case_(request), contiguous_(contiguous) {
    for (const OperandCase& operand : request.inputs)
      inputs_.push_back(operand.is_there ? std::make_unique<Memory>(operand, layout(operand), false)
                                         : nullptr);
    for (const OperandCase& operand : request.outputs)
      outputs_.push_back(operand.is_there && operand.in_place_of < 0
                             ? std::make_unique<Memory>(operand, layout(operand), true)
                             : nullptr);
    for (int i = 0; i < fastdrop::kMaxInputs + fastdrop::kMaxOutputs; ++i) layouts_[i] = {};
  }

  void put_into(fastdrop::Request& request) {
    for (std::size_t i = 0; i < inputs_.size(); ++i)
      request.inputs[i] = operand(case_.inputs[i], inputs_[i].get(), layouts_[i]);
    for (std::size_t i = 0; i < outputs_.size(); ++i)
      request.outputs[i] = operand(case_.outputs[i], output(i), layouts_[fastdrop::kMaxInputs + i]);
  }

  Memory* output(std::size_t i) {
    const int shared = case_.outputs[i].in_place_of;
    return shared >= 0 ? inputs_[static_cast<std::size_t>(shared)].get() : outputs_[i].get();
  }

  // Of the outputs that are wanted; the others are empty.
  Results results() {
    Results all;
    for (std::size_t i = 0; i < outputs_.size(); ++i)
      all.push_back(output(i) == nullptr ? std::vector<char>() : output(i)->elements());
    return all;
  }

  // The name of an operand that has changed where it must not, or null. `called`: outputs may have changed.
  const char* changed(bool called) {
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      if (inputs_[i] == nullptr) continue;
      bool is_output = false;
      for (const OperandCase& output : case_.outputs) is_output |= output.in_place_of == static_cast<int>(i);
      if (!(called && is_output) && inputs_[i]->elements() != case_.inputs[i].values)
        return case_.inputs[i].info->name;
      if (!inputs_[i]->is_untouched_between()) return case_.inputs[i].info->name;
    }
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      if (outputs_[i] == nullptr) continue;
      const std::vector<char> now = outputs_[i]->elements();
      if (!outputs_[i]->is_untouched_between() || (!called && outputs_[i]->elements() != now))
        return case_.outputs[i].info->name;
    }
    return nullptr;
  }

 private:
  Layout layout(const OperandCase& operand) const {
    return contiguous_ ? operand.contiguous() : operand.layout;
  }

  fastdrop::Operand operand(const OperandCase& from, Memory* memory, Layout& kept) const {
    if (memory == nullptr) return {nullptr, nullptr, false};
    kept = layout(from);
    return {memory->data(), contiguous_ ? nullptr : kept.strides, kept.swapped};
  }

  const Case& case_;
  const bool contiguous_;
  std::vector<std::unique_ptr<Memory>> inputs_, outputs_;
  Layout layouts_[fastdrop::kMaxOperands];
};

bool is_same(const Case& request, std::size_t output, const std::vector<char>& expected,
             const std::vector<char>& given) {
  if (expected == given) return true;
  const OperandCase& operand = request.outputs[output];
  const auto item = static_cast<std::size_t>(operand.item);
  const bool on_rows = request.info().whole_rows;
  const fastdrop::Element type = operand.info->type == fastdrop::kElementType ? request.element
                                 : request.element == fastdrop::kFloat64      ? fastdrop::kFloat64
                                                                              : fastdrop::kFloat32;
  for (std::size_t at = 0; at < expected.size(); at += item) {
    if (std::equal(&expected[at], &expected[at] + item, &given[at])) continue;
    // A NaN's bits are promised where it comes from x, of operations on elements.
    const bool is_free = on_rows || !oracle::is_nan(&request.inputs[0].values[at], type);
    if (is_free && oracle::is_nan(&expected[at], type) && oracle::is_nan(&given[at], type)) continue;
    std::fprintf(stderr, "output %zu, element %zu: expected", output, at / item);
    for (std::size_t i = item; i-- > 0;)
      std::fprintf(stderr, " %02x", static_cast<unsigned char>(expected[at + i]));
    std::fprintf(stderr, ", given");
    for (std::size_t i = item; i-- > 0;)
      std::fprintf(stderr, " %02x", static_cast<unsigned char>(given[at + i]));
    std::fprintf(stderr, "\n");
    return false;
  }
  return true;
}

// Nothing where the core refuses the request.
std::optional<Results> results_of(const Case& request, const Call& call) {
  fastdrop::use_isa(call.isa->name);
  fastdrop::set_thread_limit(call.threads);
  RequestMemory memory(request);
  Operands operands(request, call.contiguous);
  operands.put_into(memory.request);
  const bool on_rows = request.info().whole_rows;
  try {
    if (on_rows) {
      fastdrop::check_rows(memory.request);
      fastdrop::run_rows(memory.request);
    } else {
      call.contiguous ? fastdrop::run(memory.request) : fastdrop::run_strided(memory.request);
    }
  } catch (const std::invalid_argument& refusal) {
    if (!on_rows || std::string(refusal.what()) != "the operation needs other operands")
      report(call.text(request) + ": " + refusal.what());
    if (const char* name = operands.changed(false))
      report(call.text(request) + ": refused, but changed " + name);
    return std::nullopt;
  }
  Results results = operands.results();
  if (const char* name = operands.changed(true))
    report(call.text(request) + ": changed beside the elements of " + name);
  return results;
}

}  // namespace

void check_operation(const Case& request, int threads) {
  const std::vector<const fastdrop::Isa*>& all = isas();
  std::vector<Call> calls{{all[0], true, 1}};
  for (const fastdrop::Isa* isa : all) calls.push_back({isa, false, threads});
  calls.push_back({all.back(), true, threads});
  const std::optional<Results> first = results_of(request, calls[0]);
  if (!first) return;
  Results expected = request.info().whole_rows ? reference_rows(request) : reference_elements(request);
  if (expected.empty()) expected = *first;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const std::optional<Results> given = i == 0 ? first : results_of(request, calls[i]);
    if (!given) report(calls[i].text(request) + ": refused, but not every time");
    for (std::size_t output = 0; output < expected.size(); ++output)
      if (request.outputs[output].is_there && !is_same(request, output, expected[output], (*given)[output]))
        report(calls[i].text(request) + ": wrong " + request.outputs[output].info->name);
  }
}

}  // namespace fuzz
