// SPDX-License-Identifier: BSD-3-Clause
// What operations on rows are made of (docs/numerics.md, sections 10 and 11): operands as values of the type
// that is computed with, sums in the documented order, and softmax.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>

#include "reference.h"
#include "values.h"

namespace fuzz {

template <class T>
class Rows {
 public:
  using Values = std::vector<T>;

  explicit Rows(const Case& request)
      : request_(request),
        keep_(request.mask.decisions()),
        length_(static_cast<std::uint64_t>(request.mask.shape[request.mask.rank - 1])),
        count_(fastdrop::product(request.mask.shape, 0, request.mask.rank - 1)) {
    for (const OperandCase& operand : request.inputs) {
      Values values;
      const std::uint64_t items = operand.is_there ? static_cast<std::uint64_t>(operand.count()) : 0;
      for (std::uint64_t i = 0; i < items; ++i)
        values.push_back(oracle::read<T>(operand.values.data() + i * static_cast<std::uint64_t>(operand.item),
                                         type(operand)));
      inputs_.push_back(values);
    }
    for (const OperandCase& operand : request.outputs)
      results_.emplace_back(static_cast<std::size_t>(operand.count() * operand.item));
  }

  std::uint64_t length() const { return length_; }
  std::uint64_t count() const { return count_; }
  bool is_there(int input) const { return request_.inputs[static_cast<std::size_t>(input)].is_there; }
  bool kept(std::uint64_t row, std::uint64_t column) const { return keep_[row * length_ + column] != 0; }

  T in(int input, std::uint64_t row, std::uint64_t column = 0) const {
    const OperandCase& operand = request_.inputs[static_cast<std::size_t>(input)];
    if (!operand.is_there) return operand.info->is_factor ? T{1} : T{-0.0};
    return inputs_[static_cast<std::size_t>(input)][place(operand, row, column)];
  }
  T constant(int number) const { return static_cast<T>(exact_constant(number)); }
  double exact_constant(int number) const { return request_.constants[number].constant; }
  T scale(std::uint64_t row, std::uint64_t column) const {
    return static_cast<T>(
        request_.constants[0].at(row * length_ + column, request_.mask.rank, request_.mask.shape));
  }
  // The last two axes are a matrix.
  bool sees(int visible, std::uint64_t row, std::uint64_t column) const {
    const int rank = request_.mask.rank;
    const std::uint64_t of_matrix =
        rank > 1 ? row % static_cast<std::uint64_t>(request_.mask.shape[rank - 2]) : 0;
    return static_cast<double>(column) < exact_constant(visible) + static_cast<double>(of_matrix);
  }

  void put(int output, std::uint64_t row, std::uint64_t column, T value) {
    const OperandCase& operand = request_.outputs[static_cast<std::size_t>(output)];
    char* const to = results_[static_cast<std::size_t>(output)].data();
    oracle::write(to + place(operand, row, column) * static_cast<std::uint64_t>(operand.item), type(operand),
                  value);
  }
  T rounded(T value) const {  // to the type of the data, and read again
    char memory[sizeof(T)];
    oracle::write(memory, request_.element, value);
    return oracle::read<T>(memory, request_.element);
  }
  const Results& results() const { return results_; }

  // 32 partial sums, and then halves are added to halves.
  template <class Value>
  T row_sum(Value value) const {
    T partial[32] = {};
    for (std::uint64_t j = 0; j < length_; ++j) partial[j % 32] += value(j);
    for (int half = 16; half >= 1; half /= 2)
      for (int i = 0; i < half; ++i) partial[i] += partial[i + half];
    return partial[0];
  }
  template <class Value>
  T row_mean(Value value) const {
    return row_sum(value) / static_cast<T>(length_);
  }
  // Blocks of 64 rows, joined level by level.
  template <class Value>
  void put_column_sums(int output, Value value) {
    for (std::uint64_t column = 0; column < length_; ++column) {
      Values sums((count_ + 63) / 64);
      for (std::uint64_t row = 0; row < count_; ++row) sums[row / 64] += value(row, column);
      for (; sums.size() > 1; sums.resize((sums.size() + 1) / 2))
        for (std::size_t i = 0; i < sums.size(); i += 2)
          sums[i / 2] = i + 1 < sums.size() ? sums[i] + sums[i + 1] : sums[i];
      put(output, 0, column, sums.empty() ? T{0} : sums[0]);
    }
  }

 private:
  fastdrop::Element type(const OperandCase& operand) const {
    if (operand.info->type == fastdrop::kElementType) return request_.element;
    return sizeof(T) == sizeof(double) ? fastdrop::kFloat64 : fastdrop::kFloat32;
  }
  std::uint64_t place(const OperandCase& operand, std::uint64_t row, std::uint64_t column) const {
    if (operand.info->access == fastdrop::kPerColumn) return column;
    return operand.info->access == fastdrop::kPerRow ? row : row * length_ + column;
  }

  const Case& request_;
  const std::vector<std::uint8_t> keep_;
  const std::uint64_t length_, count_;
  std::vector<Values> inputs_;
  Results results_;
};

// The numbers of section 9.
template <class T>
struct PowerNumbers;
template <>
struct PowerNumbers<float> {
  static constexpr float least = -104, log2e = 0x1.715476p+0F, high = 0x1.62e4p-1F, low = 0x1.7f7d1cp-20F;
  static constexpr int raised = 64;
  static constexpr float q[] = {0x1.fffffcp-2F, 0x1.555492p-3F, 0x1.5558f2p-5F, 0x1.123a1ep-7F,
                                0x1.6a23e6p-10F};
};
template <>
struct PowerNumbers<double> {
  static constexpr double least = -746, log2e = 0x1.71547652b82fep+0, high = 0x1.62e42fefa38p-1,
                          low = 0x1.ef35793c7673p-45;
  static constexpr int raised = 512;
  static constexpr double q[] = {0x1.000000000000ap-1,  0x1.55555555554f9p-3,  0x1.555555555083fp-5,
                                 0x1.1111111127d44p-7,  0x1.6c16c18438a6p-10,  0x1.a01a0129fd31ep-13,
                                 0x1.a01999e263a8bp-16, 0x1.71df25da29fd7p-19, 0x1.28ad9b9828b91p-22,
                                 0x1.ad7f0356851afp-26};
};

// e^x times 2^64, or 2^512; x <= 0 or a NaN.
template <class T>
T raised_power(T x) {
  using Numbers = PowerNumbers<T>;
  if (std::isnan(x)) return x;
  if (Numbers::least > x) x = Numbers::least;
  const T n = std::rint(x * Numbers::log2e);
  const T r = (x - n * Numbers::high) - n * Numbers::low;
  T q = 0;
  for (std::size_t i = std::size(Numbers::q); i-- > 0;)
    q = i + 1 == std::size(Numbers::q) ? Numbers::q[i] : Numbers::q[i] + r * q;
  return std::ldexp(1 + r * (1 + r * q), static_cast<int>(n) + Numbers::raised);
}

template <class T>
double lowered(double value) {
  return std::ldexp(value, -PowerNumbers<T>::raised);
}

// A weight from its logarithm.
template <class T>
T weight_of(T logarithm) {
  return std::ldexp(raised_power(0 < logarithm ? T{0} : logarithm), -PowerNumbers<T>::raised);
}

// ln of a positive normal number.
inline double natural_logarithm(double x) {
  constexpr double tail[] = {0x1.5555555555592p-1, 0x1.999999997fdb3p-2, 0x1.24924941f151bp-2,
                             0x1.c71c52093ed37p-3, 0x1.74663eedf6e1dp-3, 0x1.39a1ba314aa2fp-3,
                             0x1.2f0568a84ffb1p-3};
  if (std::isnan(x)) return x;
  int k = 0;
  double m = std::frexp(x, &k);
  if (m < 0x1.6a09e667f3bcdp-1) m *= 2, --k;
  const double s = (m - 1) / (m + 1), square = s * s;
  double sum = tail[6];
  for (int i = 5; i >= 0; --i) sum = tail[i] + square * sum;
  return k * 0x1.62e42fefa38p-1 + (2 * s + (s * (square * sum) + k * 0x1.ef35793c7673p-45));
}

// A row of scores z, of which only those that are seen take part.
template <class T>
struct Softmax {
  T shift = 0, factor = 0;
  double logarithm = 0;
  std::vector<T> weights;

  Softmax(const Rows<T>& rows, const std::vector<T>& z, const std::vector<bool>& seen) : weights(z.size()) {
    constexpr T kInfinity = std::numeric_limits<T>::infinity();
    T largest = -kInfinity;
    for (std::size_t j = 0; j < z.size(); ++j)
      if (seen[j] && !std::isnan(z[j])) largest = std::max(largest, z[j]);
    shift = largest == -kInfinity ? T{0} : largest;
    for (std::size_t j = 0; j < z.size(); ++j) weights[j] = seen[j] ? raised_power(z[j] - shift) : T{0};
    const T total = rows.row_sum([&](std::uint64_t j) { return weights[j]; });
    const bool is_empty = largest == -kInfinity && !std::isnan(total);
    factor = is_empty ? T{0} : 1 / total;
    logarithm =
        is_empty ? static_cast<double>(kInfinity) : natural_logarithm(lowered<T>(static_cast<double>(total)));
    for (std::size_t j = 0; j < z.size(); ++j) weights[j] = seen[j] ? weights[j] * factor : T{0};
  }
};

}  // namespace fuzz
