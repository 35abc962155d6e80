// SPDX-License-Identifier: BSD-3-Clause
// The numbers of functions.h and activations.h (docs/numerics.md). numerics/coefficients.py derives those in
// hexadecimal.
#pragma once

namespace fastdrop::FASTDROP_ISA {
namespace {

template <class Lanes>
struct FunctionConstants;

template <>
struct FunctionConstants<Float32Lanes> {
  static constexpr double kRounder = 1.5 * (1 << 23);  // a sum with it is a multiple of 1
  // Powers of e are computed times 2^kRaise, and multiplied by kLowered = 2^-kRaise in the end.
  static constexpr double kRaise = 64, kLowered = 0x1p-64;
  // Where exp is zero and infinite, and where the functions below zero are zero, with their derivatives.
  static constexpr double kExponentialLow = -104, kExponentialHigh = 89;
  static constexpr double kLogisticEnd = -110, kNormalEnd = -15, kTanhEnd = -11;
  static constexpr double kLog2E = 0x1.715476p+0, kLn2 = 0x1.62e43p-1, kLn2High = 0x1.62e4p-1,
                          kLn2Low = 0x1.7f7d1cp-20;
  static constexpr double kExponential[] = {0x1.fffffcp-2, 0x1.555492p-3, 0x1.5558f2p-5, 0x1.123a1ep-7,
                                            0x1.6a23e6p-10};
  static constexpr double kBell[] = {0x1.fffffcp-4, -0x1.555492p-6, 0x1.5558f2p-9, -0x1.123a1ep-12,
                                     0x1.6a23e6p-16};
  static constexpr double kPowerOfTwo[] = {0x1.ebfbdcp-3, 0x1.c6af88p-5, 0x1.3b2e0ep-7, 0x1.5f043ap-10,
                                           0x1.414e78p-13};
  static constexpr double kTailNumerator[] = {0x1.803a92p+5, 0x1.51920ap+5, 0x1.1abeap+4, 0x1.f6a54cp+1,
                                              0x1.988572p-2};
  static constexpr double kTailDenominator[] = {0x1.803a92p+6, 0x1.421208p+7, 0x1.cf34bcp+6,
                                                0x1.6a41d4p+5, 0x1.3b015ap+3, 1};
  static constexpr double kDensityAtZero = 0x1.988454p-2;
  static constexpr double kTanhLinear = 0x1.26aec2p+1, kTanhCubic = 0x1.a5a7dp-4;
};

template <>
struct FunctionConstants<Float64Lanes> {
  static constexpr double kRounder = 1.5 * (1ll << 52);
  static constexpr double kRaise = 512, kLowered = 0x1p-512;
  static constexpr double kExponentialLow = -746, kExponentialHigh = 710;
  static constexpr double kLogisticEnd = -760, kNormalEnd = -39, kTanhEnd = -22;
  static constexpr double kLog2E = 0x1.71547652b82fep+0, kLn2 = 0x1.62e42fefa39efp-1,
                          kLn2High = 0x1.62e42fefa38p-1, kLn2Low = 0x1.ef35793c7673p-45;
  static constexpr double kExponential[] = {
      0x1.000000000000ap-1,  0x1.55555555554f9p-3,  0x1.555555555083fp-5,  0x1.1111111127d44p-7,
      0x1.6c16c18438a6p-10,  0x1.a01a0129fd31ep-13, 0x1.a01999e263a8bp-16, 0x1.71df25da29fd7p-19,
      0x1.28ad9b9828b91p-22, 0x1.ad7f0356851afp-26};
  static constexpr double kBell[] = {0x1.000000000000ap-3,   -0x1.55555555554f9p-6,  0x1.555555555083fp-9,
                                     -0x1.1111111127d44p-12, 0x1.6c16c18438a6p-16,   -0x1.a01a0129fd31ep-20,
                                     0x1.a01999e263a8bp-24,  -0x1.71df25da29fd7p-28, 0x1.28ad9b9828b91p-32,
                                     -0x1.ad7f0356851afp-37};
  static constexpr double kPowerOfTwo[] = {
      0x1.ebfbdff82c5a1p-3,  0x1.c6b08d704a045p-5,  0x1.3b2ab6fba074ap-7,  0x1.5d87fe78c396p-10,
      0x1.4309130dd5c3dp-13, 0x1.ffcbfbc7445c8p-17, 0x1.62bfc9c8628efp-20, 0x1.b5265395187ap-24,
      0x1.e618089df4b49p-28, 0x1.e7c6560941f8fp-32};
  static constexpr double kTailNumerator[] = {
      0x1.b254eb1361f75p+19, 0x1.679a22b33d2e1p+20, 0x1.273057ca76522p+20, 0x1.366ee969880f7p+19,
      0x1.cadb53b39c0e4p+17, 0x1.efcaa623b53d2p+15, 0x1.8c0cee807693bp+13, 0x1.ce8051d925f6ap+10,
      0x1.7b452324a4da9p+7,  0x1.8d3b11a586365p+3,  0x1.9884533d43cbap-2};
  static constexpr double kTailDenominator[] = {
      0x1.b254eb1361f75p+20, 0x1.0a700c4ed0f48p+22, 0x1.31e3b485d5287p+22, 0x1.b2aa699dd222ap+21,
      0x1.a9b7f15f6e09p+20,  0x1.2e99261160c25p+19, 0x1.3fa07f34eedccp+17, 0x1.f7c58f3a88798p+14,
      0x1.23c6408f78e94p+12, 0x1.dc58339b17612p+8,  0x1.f1dadab575aedp+4,  1};
  static constexpr double kDensityAtZero = 0x1.9884533d43651p-2;
  static constexpr double kTanhLinear = 0x1.26aec21bce759p+1, kTanhCubic = 0x1.a5a7cf7572a98p-4;
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
