// SPDX-License-Identifier: BSD-3-Clause
// Operations with their operands, layouts, values and constants.
#include "case.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>

#include "values.h"

namespace fuzz {
namespace {

using fastdrop::Element;

std::uint64_t next_random(std::uint64_t& state) {  // SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)
  std::uint64_t z = state += 0x9E3779B97F4A7C15;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
  z = (z ^ z >> 27) * 0x94D049BB133111EB;
  return z ^ z >> 31;
}

// Whether p, or a constant, varies along each axis. Where a decision is shared, p does not.
ValueCase draw_broadcast(Bytes& bytes, const MaskCase& mask, bool may_vary_where_shared) {
  ValueCase value;
  value.varies = true;
  const auto flags = bytes.ConsumeIntegral<std::uint8_t>();
  std::int64_t next = 1;
  for (int axis = mask.rank - 1; axis >= 0; --axis) {
    const bool is_shared = mask.window.strides[axis] == 0 && mask.shape[axis] != 1 && !may_vary_where_shared;
    if (!(flags >> axis & 1) || is_shared || mask.shape[axis] == 0) continue;
    const bool is_reversed = flags >> (4 + axis) & 1;
    value.window.strides[axis] = is_reversed ? -next : next;
    if (is_reversed) value.window.start += static_cast<std::uint64_t>(next * (mask.shape[axis] - 1));
    next *= mask.shape[axis];
  }
  value.values.resize(static_cast<std::size_t>(next));
  value.offset = flags % 3;
  return value;
}

double draw_constant(Bytes& bytes) {
  static constexpr double kConstants[] = {1,    0,     -0.0,  2,      0.5,        -1,  1e-5, 1e-12,
                                          3e38, -3e38, 1e-45, 5e-324, 0x1.0p-126, 1.1, 104,  65504};
  const auto choice = bytes.ConsumeIntegral<std::uint8_t>();
  if (choice < 128) return kConstants[choice % std::size(kConstants)];
  return bytes.ConsumeFloatingPointInRange(-8.0, 8.0);
}

double scale_for(double rate) {
  const double keep = rate < 0 ? -rate : 1 - rate;
  return keep > 0 ? std::min(1 / keep, 3e38) : 0;
}

ValueCase draw_scale(Bytes& bytes, const MaskCase& mask, bool may_vary_where_shared) {
  const int kind = bytes.ConsumeIntegralInRange(0, 5);
  if (kind < 3 && !mask.p.varies) return {scale_for(mask.p.constant), false, {}, {}, 0};
  if (kind < 3) {
    ValueCase scale = mask.p;
    for (double& value : scale.values) value = scale_for(value);
    return scale;
  }
  if (kind < 5) return {draw_constant(bytes), false, {}, {}, 0};
  ValueCase scale = draw_broadcast(bytes, mask, may_vary_where_shared);
  const double some[] = {draw_constant(bytes), draw_constant(bytes), 1};
  for (std::size_t i = 0; i < scale.values.size(); ++i) scale.values[i] = some[i % 3];
  return scale;
}

double draw_row_constant(Bytes& bytes, const std::string& name, std::int64_t length) {
  if (name == "activation") return bytes.ConsumeIntegralInRange(0, fastdrop::kActivationCount - 1);
  if (name == "eps") return std::fabs(draw_constant(bytes));
  if (name != "visible") return draw_constant(bytes);
  const auto choice = bytes.ConsumeIntegral<std::uint8_t>();
  if (choice < 100) return std::numeric_limits<double>::infinity();
  return choice == 100   ? 0x1p63
         : choice == 101 ? 1e300
                         : bytes.ConsumeIntegralInRange<std::int64_t>(0, length + 2);
}

// Of an operand of an operation on elements: anything that a NumPy view may be. On rows: what check_rows()
// takes.
void draw_layout(Bytes& bytes, OperandCase& operand, bool on_rows, bool is_output) {
  operand.layout = operand.contiguous();
  const bool is_sum = is_output && operand.info->access == fastdrop::kPerColumn;
  const int kind = bytes.ConsumeIntegralInRange(0, 5);
  if (kind == 0 || (on_rows && (is_sum || operand.rank == 0))) return;
  const auto flags = bytes.ConsumeIntegral<std::uint32_t>();
  const std::int64_t item = operand.item;
  const bool is_misaligned = !on_rows && kind >= 4;
  operand.layout.offset = is_misaligned ? flags % 16 : flags % 4 * item;
  operand.layout.swapped = !on_rows && item > 1 && kind == 5 && (flags >> 4 & 1);
  int order[kMostAxes] = {0, 1, 2, 3};
  const int movable = on_rows ? operand.rank - 1 : operand.rank;  // the last axis of rows stays
  if (kind >= 2)
    for (int i = 0; i + 1 < movable; ++i) std::swap(order[i], order[i + (flags >> (5 + i) & 1)]);
  std::int64_t next = item;
  for (int i = operand.rank - 1; i >= 0; --i) {
    const int axis = order[i];
    if (!fastdrop::has_axis(*operand.info, axis, operand.rank)) continue;
    const bool is_along_row =
        on_rows && axis == operand.rank - 1 && operand.info->access != fastdrop::kPerRow;
    const std::int64_t own = flags >> (8 + 4 * i);
    std::int64_t& stride = operand.layout.strides[axis];
    stride = next;
    if (!is_along_row) {
      stride *= 1 + (kind == 3 ? own & 1 : 0);
      stride += kind == 4 && is_misaligned ? own & 7 : kind == 2 ? (own & 3) * item : 0;
    }
    next = stride * std::max<std::int64_t>(operand.shape[axis], 1);
    if (is_along_row) continue;
    if ((own & 12) == 12) stride = -stride;
    if ((own & 12) == 8 && !is_output) stride = 0;
  }
}

void draw_operand(Bytes& bytes, Case& request, const fastdrop::OperandInfo& info, bool is_output) {
  OperandCase operand;
  operand.info = &info;
  operand.rank = request.mask.rank;
  operand.item = static_cast<std::int64_t>(fastdrop::item_bytes(info, request.element));
  for (int axis = 0; axis < operand.rank; ++axis)
    operand.shape[axis] = fastdrop::has_axis(info, axis, operand.rank) ? request.mask.shape[axis] : 1;
  operand.is_there = !info.optional || bytes.ConsumeBool();
  draw_layout(bytes, operand, request.info().whole_rows, is_output);
  if (is_output) {
    const bool may_share = operand.is_there && info.access == fastdrop::kFull && bytes.ConsumeBool();
    for (std::size_t i = 0; may_share && i < request.inputs.size(); ++i) {
      const OperandCase& input = request.inputs[i];
      bool is_free = input.is_there && input.info->access == fastdrop::kFull && input.info->type == info.type;
      for (int axis = 0; axis < operand.rank; ++axis)
        is_free &= input.layout.strides[axis] != 0 || input.shape[axis] == 1;
      for (const OperandCase& other : request.outputs) is_free &= other.in_place_of != static_cast<int>(i);
      if (is_free) operand.in_place_of = static_cast<int>(i), operand.layout = input.layout;
    }
    request.outputs.push_back(operand);
    return;
  }
  operand.values.resize(static_cast<std::size_t>(operand.count() * operand.item));
  const Element type = info.type == fastdrop::kElementType     ? request.element
                       : request.element == fastdrop::kFloat64 ? fastdrop::kFloat64
                                                               : fastdrop::kFloat32;
  fill_values(bytes, type, operand.values);
  if (std::strcmp(info.name, "targets") == 0) {
    const std::int64_t length = request.mask.shape[request.mask.rank - 1];
    const auto seed = bytes.ConsumeIntegral<std::uint8_t>();
    for (std::int64_t row = 0; row < operand.count() && seed % 8 != 7; ++row) {
      char* const at = operand.values.data() + row * operand.item;
      const double target = static_cast<double>((row * 7 + seed) % (length + 2) - 1);
      type == fastdrop::kFloat64 ? oracle::write(at, type, target)
                                 : oracle::write(at, type, static_cast<float>(target));
    }
  }
  operand.values =
      Memory(operand, operand.layout, false).elements();  // where a stride is 0, elements are one
  request.inputs.push_back(operand);
}

}  // namespace

void fill_values(Bytes& bytes, Element type, std::vector<char>& values) {
  static constexpr float kSpecial[] = {0.0F,        -0.0F,    1.0F,     -1.0F,  0x1p-149F, -0x1p-133F,
                                       0x1.8p-127F, 65504.0F, 65520.0F, -88.5F, -104.0F};
  const int kind = bytes.ConsumeIntegralInRange(0, 8);
  std::uint64_t state = bytes.ConsumeIntegral<std::uint16_t>();
  const std::size_t item = fastdrop::kElementBytes[type];
  for (std::size_t at = 0; at < values.size(); at += item) {
    char* const to = values.data() + at;
    const std::uint64_t random = next_random(state), choice = random >> 40;
    double value = static_cast<double>(static_cast<std::int32_t>(random)) * 0x1p-29;  // from -4 to 4
    const bool is_special = kind == 1 || (kind == 2 && choice % 16 == 0) || (kind == 3 && choice % 128 == 0);
    if (kind == 0 || (is_special && choice & 0x1000)) {  // any bits: NaN of all kinds, subnormal numbers
      std::memcpy(to, &random, item);
      if (kind == 0) continue;
      // All ones in the exponent: infinity, or a NaN that may signal.
      const int top = type == fastdrop::kFloat64 ? 0x7FF0 : type == fastdrop::kFloat16 ? 0x7C00 : 0x7F80;
      std::uint16_t upper;
      std::memcpy(&upper, to + item - 2, 2);
      upper = static_cast<std::uint16_t>(upper | top);
      if (choice & 0x2000) std::memset(to, 0, item), upper &= static_cast<std::uint16_t>(top | 0x8000);
      std::memcpy(to + item - 2, &upper, 2);
      continue;
    }
    if (is_special) value = static_cast<double>(kSpecial[choice % std::size(kSpecial)]);
    if (kind == 4) value *= 25;
    if (kind == 5) value *= 0x1p-140;
    if (kind == 6) value *= type == fastdrop::kFloat16 ? 2e4 : 4e37;
    if (kind == 7) value = std::rint(value);
    type == fastdrop::kFloat64 ? oracle::write(to, type, value)
                               : oracle::write(to, type, static_cast<float>(value));
  }
}

Case draw_case(Bytes& bytes, fastdrop::Operation operation) {
  static constexpr std::int64_t kSizes[] = {12, 40, 100, 150, 200, 300, 300, 5000};
  Case request;
  request.operation = operation;
  const fastdrop::OperationInfo& info = request.info();
  const int inputs = fastdrop::operand_count(info.inputs);
  request.element = inputs == 0 ? fastdrop::kBool
                                : static_cast<Element>(bytes.ConsumeIntegralInRange(0, fastdrop::kBool - 1));
  std::int64_t size = kSizes[bytes.ConsumeIntegralInRange<std::size_t>(0, std::size(kSizes) - 1)];
  if (size == 5000 && bytes.ConsumeIntegral<std::uint8_t>() % 4 != 0) size = 700;
  request.mask = draw_mask(bytes, info.whole_rows ? 1 : 0, size, false, info.draw == fastdrop::kNormals);
  MaskCase& mask = request.mask;
  if (bytes.ConsumeIntegralInRange(0, 3) == 0) {
    ValueCase p = draw_broadcast(bytes, mask, false);
    const double some[] = {draw_rate(bytes, mask), draw_rate(bytes, mask), draw_rate(bytes, mask)};
    for (std::size_t i = 0; i < p.values.size(); ++i) p.values[i] = some[i % 3];
    mask.p = p;
  } else {
    mask.p.constant = draw_rate(bytes, mask);
  }
  for (int i = 0; i < fastdrop::constant_count(info); ++i) {
    const std::string name = info.constants[i].name;
    if (name == "scale" || !info.whole_rows)
      request.constants[i] = draw_scale(bytes, mask, !info.whole_rows);
    else
      request.constants[i].constant = draw_row_constant(bytes, name, mask.shape[mask.rank - 1]);
  }
  for (int i = 0; i < inputs; ++i) draw_operand(bytes, request, info.inputs[i], false);
  for (int i = 0; i < fastdrop::operand_count(info.outputs); ++i)
    draw_operand(bytes, request, info.outputs[i], true);
  return request;
}

std::string Case::text() const {
  static constexpr const char* kElements[] = {"float32", "float64", "float16", "bfloat16", "bool"};
  std::string all = std::string(info().name) + " of " + kElements[element];
  const auto add = [&all](const char* format, auto... values) {
    char line[256];
    std::snprintf(line, sizeof line, format, values...);
    all += line;
  };
  const auto add_value = [&](const char* name, const ValueCase& value) {
    add("\n  %s %a", name, value.constant);
    if (!value.varies) return;
    all += " varies, strides";
    for (int axis = 0; axis < mask.rank; ++axis)
      add(" %lld", static_cast<long long>(value.window.strides[axis]));
    for (std::size_t i = 0; i < std::min<std::size_t>(value.values.size(), 3); ++i)
      add(", %a", value.values[i]);
  };
  add("\n  %s, key %#llx %#llx, stream %llu, start %llu%s", fastdrop::kKeepRuleNames[mask.rule],
      static_cast<unsigned long long>(mask.key[0]), static_cast<unsigned long long>(mask.key[1]),
      static_cast<unsigned long long>(mask.stream), static_cast<unsigned long long>(mask.window.start),
      mask.window.is_c_order ? ", C order" : "");
  for (int axis = 0; axis < mask.rank; ++axis)
    add("\n  axis of %lld, index stride %lld", static_cast<long long>(mask.shape[axis]),
        static_cast<long long>(mask.window.strides[axis]));
  add_value("p", mask.p);
  for (int i = 0; i < fastdrop::constant_count(info()); ++i)
    add_value(info().constants[i].name, constants[i]);
  for (const std::vector<OperandCase>* operands : {&inputs, &outputs})
    for (const OperandCase& operand : *operands) {
      add("\n  %s", operand.info->name);
      if (!operand.is_there) all += " absent";
      if (operand.in_place_of >= 0) add(" in place of input %d", operand.in_place_of);
      add(", offset %lld%s, strides", static_cast<long long>(operand.layout.offset),
          operand.layout.swapped ? ", swapped" : "");
      for (int axis = 0; axis < operand.rank; ++axis)
        add(" %lld", static_cast<long long>(operand.layout.strides[axis]));
    }
  return all + "\n";
}

}  // namespace fuzz
