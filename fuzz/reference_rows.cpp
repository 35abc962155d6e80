// SPDX-License-Identifier: BSD-3-Clause
// Operations on rows (docs/numerics.md, sections 10 and 11), each in its formula's steps.
#include "rows.h"

namespace fuzz {
namespace {

using Index = std::uint64_t;

// h, before it is rounded: residual + (keep ? act(x + bias) * s : +0.0)
template <class T>
T residual_sum(const Rows<T>& rows, Index row, Index j, int bias, int residual, bool is_relu) {
  T t = rows.in(0, row, j) + rows.in(bias, row, j);
  if (is_relu && t < 0) t = 0;
  return rows.in(residual, row, j) + (rows.kept(row, j) ? t * rows.scale(row, j) : T{0});
}

template <class T>
void bias_dropout_add(Rows<T>& rows) {
  for (Index row = 0; row < rows.count(); ++row)
    for (Index j = 0; j < rows.length(); ++j)
      rows.put(0, row, j, residual_sum(rows, row, j, 1, 2, rows.constant(1) == fastdrop::kRelu));
}

template <class T>
void bias_dropout_add_backward(Rows<T>& rows) {
  const auto dx = [&](Index row, Index j) {
    bool keeps = rows.kept(row, j);
    if (rows.is_there(3))
      keeps = !(rows.in(3, row, j) <= 0);
    else if (rows.constant(1) == fastdrop::kRelu)
      keeps &= !(rows.in(1, row, j) + rows.in(2, row, j) <= 0);
    return keeps ? rows.in(0, row, j) * rows.scale(row, j) : T{0};
  };
  for (Index row = 0; row < rows.count(); ++row)
    for (Index j = 0; j < rows.length(); ++j) rows.put(0, row, j, dx(row, j));
  rows.put_column_sums(1, dx);
}

template <class T>
void norm(Rows<T>& rows, bool has_mean) {
  const int weight = 2, bias = 3, x_bias = has_mean ? 4 : 3;
  std::vector<T> h(rows.length());
  for (Index row = 0; row < rows.count(); ++row) {
    for (Index j = 0; j < rows.length(); ++j) {
      const T exact = residual_sum(rows, row, j, x_bias, 1, false);
      rows.put(1, row, j, exact);
      h[j] = rows.rounded(exact);
    }
    const T mean = has_mean ? rows.row_mean([&](Index j) { return h[j]; }) : T{0};
    if (has_mean)
      for (T& value : h) value = value - mean;
    const T variance = rows.row_mean([&](Index j) { return h[j] * h[j]; });
    const T rstd = 1 / std::sqrt(variance + rows.constant(1));
    for (Index j = 0; j < rows.length(); ++j) {
      const T y = h[j] * rstd * rows.in(weight, row, j);
      rows.put(0, row, j, has_mean ? y + rows.in(bias, row, j) : y);
    }
    if (has_mean) rows.put(2, row, 0, mean);
    rows.put(has_mean ? 3 : 2, row, 0, rstd);
  }
}

template <class T>
void norm_backward(Rows<T>& rows, bool has_mean) {
  const int rstd_at = has_mean ? 3 : 2, weight = rstd_at + 1, dh = rstd_at + 2;
  const auto xhat = [&](Index row, Index j) {
    const T h = rows.in(1, row, j);
    return (has_mean ? h - rows.in(2, row) : h) * rows.in(rstd_at, row);
  };
  std::vector<T> dx(rows.count() * rows.length());
  for (Index row = 0; row < rows.count(); ++row) {
    const auto g = [&](Index j) { return rows.in(0, row, j) * rows.in(weight, row, j); };
    const T m1 = has_mean ? rows.row_mean(g) : T{0};
    const T m2 = rows.row_mean([&](Index j) { return g(j) * xhat(row, j); });
    for (Index j = 0; j < rows.length(); ++j) {
      const T centred = has_mean ? g(j) - m1 : g(j);
      const T own = rows.in(rstd_at, row) * (centred - xhat(row, j) * m2);
      const T dresidual = rows.in(dh, row, j) + own;
      T& result = dx[row * rows.length() + j];
      result = rows.kept(row, j) ? dresidual * rows.scale(row, j) : T{0};
      rows.put(0, row, j, result);
      rows.put(1, row, j, dresidual);
    }
  }
  rows.put_column_sums(2, [&](Index row, Index j) { return rows.in(0, row, j) * xhat(row, j); });
  if (has_mean) rows.put_column_sums(3, [&](Index row, Index j) { return rows.in(0, row, j); });
  rows.put_column_sums(has_mean ? 4 : 3, [&](Index row, Index j) { return dx[row * rows.length() + j]; });
}

// z = scores * factor + attn_mask, of scores and attn_mask in these places.
template <class T>
T score(const Rows<T>& rows, Index row, Index j, int scores) {
  return rows.in(scores, row, j) * rows.constant(1) + rows.in(scores + 1, row, j);
}

template <class T>
T dropped(const Rows<T>& rows, Index row, Index j, T value) {
  return rows.kept(row, j) ? value * rows.scale(row, j) : T{0};
}

template <class T>
void softmax_dropout(Rows<T>& rows) {
  std::vector<T> z(rows.length());
  std::vector<bool> seen(rows.length());
  for (Index row = 0; row < rows.count(); ++row) {
    for (Index j = 0; j < rows.length(); ++j) z[j] = score(rows, row, j, 0), seen[j] = rows.sees(2, row, j);
    const Softmax<T> softmax(rows, z, seen);
    for (Index j = 0; j < rows.length(); ++j) {
      rows.put(0, row, j, seen[j] ? dropped(rows, row, j, softmax.weights[j]) : T{0});
      rows.put(1, row, j, softmax.weights[j]);
    }
    rows.put(2, row, 0, static_cast<T>(static_cast<double>(softmax.shift) + softmax.logarithm));
  }
}

template <class T>
void softmax_dropout_backward(Rows<T>& rows) {
  for (Index row = 0; row < rows.count(); ++row) {
    const auto g = [&](Index j) { return dropped(rows, row, j, rows.in(0, row, j)); };
    const T total = rows.row_sum([&](Index j) { return g(j) * rows.in(1, row, j); });
    for (Index j = 0; j < rows.length(); ++j)
      rows.put(0, row, j, (rows.in(1, row, j) * (g(j) - total)) * rows.constant(1));
  }
}

template <class T>
void attention_backward(Rows<T>& rows) {
  for (Index row = 0; row < rows.count(); ++row)
    for (Index j = 0; j < rows.length(); ++j) {
      const bool seen = rows.sees(2, row, j);
      const T weight = weight_of(score(rows, row, j, 1) - rows.in(3, row));
      const T g = dropped(rows, row, j, rows.in(0, row, j));
      rows.put(0, row, j, seen ? (weight * (g - rows.in(4, row))) * rows.constant(1) : T{0});
      rows.put(1, row, j, seen ? dropped(rows, row, j, weight) : T{0});
    }
}

template <class T>
Softmax<T> softmax_of_input(const Rows<T>& rows, Index row) {
  std::vector<T> z(rows.length());
  for (Index j = 0; j < rows.length(); ++j) z[j] = rows.in(0, row, j);
  return {rows, z, std::vector<bool>(rows.length(), true)};
}

template <class T>
void log_softmax(Rows<T>& rows) {
  for (Index row = 0; row < rows.count(); ++row) {
    const Softmax<T> softmax = softmax_of_input(rows, row);
    for (Index j = 0; j < rows.length(); ++j)
      rows.put(0, row, j, (rows.in(0, row, j) - softmax.shift) - static_cast<T>(softmax.logarithm));
  }
}

template <class T>
void log_softmax_backward(Rows<T>& rows) {
  for (Index row = 0; row < rows.count(); ++row) {
    const T total = rows.row_sum([&](Index j) { return rows.in(0, row, j); });
    for (Index j = 0; j < rows.length(); ++j)
      rows.put(0, row, j, rows.in(0, row, j) - weight_of(rows.in(1, row, j)) * total);
  }
}

template <class T>
void cross_entropy(Rows<T>& rows) {
  for (Index row = 0; row < rows.count(); ++row) {
    const T target = rows.in(1, row);
    if (!(target >= 0 && target < static_cast<T>(rows.length()))) {
      for (Index j = 0; j < rows.length(); ++j) rows.put(0, row, j, 0);
      rows.put(1, row, 0, 0);
      continue;
    }
    const Softmax<T> softmax = softmax_of_input(rows, row);
    const auto place = static_cast<Index>(target);
    for (Index j = 0; j < rows.length(); ++j)
      rows.put(0, row, j, (j == place ? softmax.weights[j] - 1 : softmax.weights[j]) * rows.constant(0));
    rows.put(1, row, 0, static_cast<T>(softmax.logarithm) - (rows.in(0, row, place) - softmax.shift));
  }
}

template <class T>
Results work(const Case& request) {
  Rows<T> rows(request);
  switch (request.operation) {
    case fastdrop::kBiasDropoutAdd:
      bias_dropout_add(rows);
      break;
    case fastdrop::kBiasDropoutAddBackward:
      bias_dropout_add_backward(rows);
      break;
    case fastdrop::kDropoutAddLayerNorm:
      norm(rows, true);
      break;
    case fastdrop::kDropoutAddRmsNorm:
      norm(rows, false);
      break;
    case fastdrop::kDropoutAddLayerNormBackward:
      norm_backward(rows, true);
      break;
    case fastdrop::kDropoutAddRmsNormBackward:
      norm_backward(rows, false);
      break;
    case fastdrop::kSoftmaxDropout:
      softmax_dropout(rows);
      break;
    case fastdrop::kSoftmaxDropoutBackward:
      softmax_dropout_backward(rows);
      break;
    case fastdrop::kAttentionBackward:
      attention_backward(rows);
      break;
    case fastdrop::kLogSoftmax:
      log_softmax(rows);
      break;
    case fastdrop::kLogSoftmaxBackward:
      log_softmax_backward(rows);
      break;
    default:
      cross_entropy(rows);
  }
  return rows.results();
}

}  // namespace

Results reference_rows(const Case& request) {
  const bool has_activation = request.operation == fastdrop::kBiasDropoutAdd ||
                              request.operation == fastdrop::kBiasDropoutAddBackward;
  if (has_activation && request.constants[1].constant > fastdrop::kRelu) return {};
  return request.element == fastdrop::kFloat64 ? work<double>(request) : work<float>(request);
}

}  // namespace fuzz
