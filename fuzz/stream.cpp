// SPDX-License-Identifier: BSD-3-Clause
#include "stream.h"

#include <cmath>
#include <cstring>

namespace oracle {
namespace {

std::uint32_t low(std::uint64_t a) { return static_cast<std::uint32_t>(a); }
std::uint32_t high(std::uint64_t a) { return static_cast<std::uint32_t>(a >> 32); }

// Multiplication by x in AES's field (FIPS 197, 4.2).
std::uint8_t doubled(std::uint8_t a) { return static_cast<std::uint8_t>(a << 1 ^ (a >> 7) * 0x1B); }

// FIPS 197, 5.1.1: the inverse in the field, then an affine map. 3 generates the field's group.
std::array<std::uint8_t, 256> make_sbox() {
  std::array<std::uint8_t, 256> powers{}, sbox{};
  std::uint8_t power = 1;
  for (int i = 0; i < 256; ++i) {
    powers[static_cast<std::size_t>(i)] = power;
    power = static_cast<std::uint8_t>(power ^ doubled(power));
  }
  for (std::size_t i = 0; i < 255; ++i) {
    const unsigned inverse = powers[(255 - i) % 255];
    unsigned sum = 0x63;
    for (int turn = 0; turn < 5; ++turn) sum ^= (inverse << turn | inverse >> (8 - turn)) & 0xFF;
    sbox[powers[i]] = static_cast<std::uint8_t>(sum);
  }
  sbox[0] = 0x63;
  return sbox;
}

void aes_round(std::uint8_t (&state)[16], const std::uint64_t key[2], bool mixes) {
  static const std::array<std::uint8_t, 256> sbox = make_sbox();
  std::uint8_t shifted[16], round_key[16];
  for (std::size_t i = 0; i < 16; ++i) shifted[i] = sbox[state[(i + 4 * (i % 4)) % 16]];
  std::memcpy(round_key, key, 16);
  for (std::size_t i = 0; i < 16; ++i) {
    const std::size_t column = i / 4 * 4;
    const std::uint8_t a = shifted[i], b = shifted[column + (i + 1) % 4], c = shifted[column + (i + 2) % 4],
                       d = shifted[column + (i + 3) % 4];
    const int mixed = mixes ? doubled(a) ^ doubled(b) ^ b ^ c ^ d : a;
    state[i] = static_cast<std::uint8_t>(mixed ^ round_key[i]);
  }
}

Words ars(const Words& counter, const std::uint64_t key[2]) {
  std::uint64_t round_key[2] = {key[0], key[1]}, words[2];
  std::memcpy(words, counter.data(), 16);
  words[0] ^= key[0], words[1] ^= key[1];
  std::uint8_t state[16];
  std::memcpy(state, words, 16);
  for (int round = 1; round <= 7; ++round) {
    round_key[0] += 0x9E3779B97F4A7C15, round_key[1] += 0xBB67AE8584CAA73B;
    aes_round(state, round_key, round < 7);
  }
  Words out;
  std::memcpy(out.data(), state, 16);
  return out;
}

Words philox(Words c, const std::uint64_t key[2]) {
  std::uint32_t k0 = low(key[0]), k1 = high(key[0]);
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9, k1 += 0xBB67AE85) {
    const std::uint64_t first = std::uint64_t{0xD2511F53} * c[0], second = std::uint64_t{0xCD9E8D57} * c[2];
    c = {high(second) ^ c[1] ^ k0, low(second), high(first) ^ c[3] ^ k1, low(first)};
  }
  return c;
}

unsigned __int128 times_2_64(double probability) {
  // Up to 2^64, which no 64-bit integer holds; rint() rounds half to even.
  return static_cast<unsigned __int128>(std::rint(std::ldexp(probability, 64)));
}

template <std::size_t count>
float polynomial(float x, const float (&c)[count]) {
  float sum = c[count - 1];
  for (std::size_t i = count - 1; i-- > 0;) sum = c[i] + x * sum;
  return sum;
}

}  // namespace

Words generate(Generator generator, const Words& counter, const std::uint64_t key[2]) {
  return generator == kArs ? ars(counter, key) : philox(counter, key);
}

unsigned __int128 threshold(double rate) {
  return rate < 0 ? (static_cast<unsigned __int128>(1) << 64) - times_2_64(-rate) : times_2_64(rate);
}

const Words& Stream::block(int place, std::uint64_t number, std::uint64_t bit_63) {
  Cached& cached = cached_[place];
  if (!cached.is_there || cached.number != number) {
    const std::uint64_t counter = number | bit_63;
    cached = {true, number,
              generate(generator_, {low(counter), high(counter), low(stream_), high(stream_)}, key_)};
  }
  return cached.words;
}

std::uint64_t Stream::word(std::uint64_t index) {
  const Words& words = block(0, index >> 3, 0);
  return words[(index & 7) / 2] >> 16 * (index & 1) & 0xFFFF;
}

std::uint64_t Stream::tie_word(std::uint64_t index) const {
  const Words words =
      generate(generator_, {low(index), high(index), low(stream_), high(stream_) + 0x80000000}, key_);
  return words[0] | std::uint64_t{words[1] & 0xFFFF} << 32;
}

bool Stream::kept(std::uint64_t index, double rate) {
  const unsigned __int128 bound = threshold(rate);
  if (bound == 0 || bound >> 64 != 0) return bound == 0;
  const std::uint64_t drawn = word(index), upper = static_cast<std::uint64_t>(bound >> 48);
  if (drawn != upper) return drawn > upper;
  return tie_word(index) >= static_cast<std::uint64_t>(bound & ((std::uint64_t{1} << 48) - 1));
}

std::uint32_t Stream::normal_word(std::uint64_t index) {
  return block(1 + static_cast<int>(index >> 4 & 1), index >> 2, std::uint64_t{1} << 63)[index & 3];
}

float Stream::normal(std::uint64_t index) {
  static constexpr float kLogarithm[] = {-0x1.fffffep+0F, 0x1.00007ep+0F, -0x1.5558acp-1F, 0x1.ff5cfcp-2F,
                                         -0x1.97d34cp-2F, 0x1.61db90p-2F, -0x1.4a43fcp-2F, 0x1.955046p-3F};
  static constexpr float kSine[] = {0x1.921fb6p+0F, -0x1.4abbc4p-1F, 0x1.4668f0p-4F, -0x1.32531ep-8F,
                                    0x1.3e1420p-13F};
  static constexpr float kCosine[] = {0x1.fffffep-1F, -0x1.3bd3a6p+0F, 0x1.03bd00p-2F, -0x1.54f5a0p-6F,
                                      0x1.c1e8dcp-11F};
  const std::uint32_t v = normal_word(index & ~std::uint64_t{16}), w = normal_word(index | 16);
  const auto f = static_cast<float>(v >> 1 | 1);
  std::uint32_t bits;
  std::memcpy(&bits, &f, sizeof bits);
  const std::uint32_t e = (bits - 0x3F3504F3) >> 23;
  bits -= e << 23;
  float m;
  std::memcpy(&m, &bits, sizeof m);
  const float t = m - 1;
  const float whole = (31 - static_cast<float>(e)) * 0x1.62e43p+0F;
  const float radius = std::sqrt(whole + t * polynomial(t, kLogarithm));
  const float y = 0x1p-31F * static_cast<float>(static_cast<std::int32_t>(w << 1 | 1));
  const float square = y * y;
  if (index & 16) return radius * (y * polynomial(square, kSine));
  const float cosine = polynomial(square, kCosine);
  return radius * (w >> 31 ? -cosine : cosine);
}

}  // namespace oracle
