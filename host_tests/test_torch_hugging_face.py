# SPDX-License-Identifier: BSD-3-Clause
"""Attention of fastdrop by name, in tiny models of Hugging Face that are built here."""

import sys

import pytest
import torch
import torch.nn.functional as F
import transformers

import fastdrop.torch as ft
from torch_judge import Draws, seeded

ft.register_attention()
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
WORDS = torch.randint(50, (2, 9), generator=torch.Generator().manual_seed(0))
LEFT, RIGHT = (torch.ones(2, 9, dtype=torch.long) for _ in range(2))
LEFT[1, :4] = RIGHT[1, 5:] = 0


def bert(**options):
    """An encoder: every word sees all others."""
    config = transformers.BertConfig(vocab_size=50, max_position_embeddings=16, **SIZES, **options)
    return transformers.BertForMaskedLM(config)


def gpt2(**options):
    config = transformers.GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=4, n_positions=32, **options)
    return transformers.GPT2LMHeadModel(config)


def llama(**options):
    """Two heads of queries share one head of keys and values; dropout in attention alone."""
    config = transformers.LlamaConfig(
        vocab_size=50, num_key_value_heads=2, attention_dropout=0.1, **SIZES, **options
    )
    return transformers.LlamaForCausalLM(config)


def mistral(**options):
    """A word sees the three before it."""
    config = transformers.MistralConfig(
        vocab_size=50, num_key_value_heads=2, attention_dropout=0.1, sliding_window=3, **SIZES, **options
    )
    return transformers.MistralForCausalLM(config)


def t5(**options):
    """A bias of positions, which is learned, and a decoder that attends to an encoder."""
    config = transformers.T5Config(
        vocab_size=50,
        d_model=16,
        d_kv=4,
        d_ff=32,
        num_heads=4,
        num_layers=2,
        decoder_start_token_id=0,
        **options,
    )
    return transformers.T5ForConditionalGeneration(config)


MODELS = [bert, gpt2, llama, mistral, t5]


def pair(make):
    """The same parameters with both kinds of attention."""
    return [seeded(make, attn_implementation=name) for name in ("eager", "fastdrop")]


def inputs(make, padding):
    found = {"input_ids": WORDS, "labels": WORDS}
    return found if padding is None else found | {"attention_mask": padding}


@pytest.mark.parametrize("padding", [None, LEFT, RIGHT], ids=["none", "left", "right"])
@pytest.mark.parametrize("make", MODELS)
def test_in_evaluation_it_is_eager_attention(make, padding):
    eager, ours = (model.eval() for model in pair(make))
    assert ours.config._attn_implementation == "fastdrop"
    with torch.no_grad():
        wanted, found = (model(**inputs(make, padding)).logits for model in (eager, ours))
    seen = torch.ones(2, 9, dtype=torch.bool) if padding is None or make is t5 else padding.bool()
    torch.testing.assert_close(found[seen], wanted[seen])


@pytest.mark.parametrize("padding", [None, LEFT, RIGHT], ids=["none", "left", "right"])
@pytest.mark.parametrize("make", MODELS)
def test_in_training_it_is_eager_attention_with_the_same_masks(make, padding):
    """Both draw in the same order, so that a seed gives the same masks."""

    def gradients(model):
        ft.replace_dropout(model)
        with ft.replace_functional():
            torch.manual_seed(5)
            output = model.train()(**inputs(make, padding))
            # Words that are padding count for nothing.
            loss = output.loss if padding is None else output.logits[padding.bool()].square().mean()
            loss.backward()
        return loss, {name: parameter.grad for name, parameter in model.named_parameters()}

    (wanted, exact), (loss, found) = map(gradients, pair(make))
    torch.testing.assert_close(loss, wanted)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, exact[name], msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("make", MODELS)
def test_attention_is_dropped_by_fastdrop(make):
    def draws(name):
        model = seeded(make, attn_implementation=name).train()
        with Draws() as draws:
            model(**inputs(make, None)).loss.backward()
        return draws

    layers = 6 if make is t5 else 2
    assert draws("fastdrop").ours == 2 * layers
    assert draws("fastdrop").torchs == draws("eager").torchs - layers


@pytest.mark.parametrize("make", [gpt2, llama, mistral, t5])
def test_words_that_are_generated(make):
    """With the keys and values of the words before, so that a query is alone."""
    found = [
        model.eval().generate(
            WORDS, attention_mask=LEFT, max_new_tokens=8, do_sample=False, pad_token_id=0, eos_token_id=None
        )
        for model in pair(make)
    ]
    assert torch.equal(*found)


def test_what_models_ask_for_besides_is_refused():
    """Eager attention does it, and leaving it out would be wrong."""
    config = transformers.Gemma2Config(
        vocab_size=50, num_key_value_heads=2, head_dim=4, attn_implementation="fastdrop", **SIZES
    )
    with pytest.raises(ValueError, match=r"^softcap must be None .* Gemma2Attention .*eager"):
        transformers.Gemma2ForCausalLM(config)(WORDS)
    config = transformers.GptOssConfig(
        vocab_size=50, num_key_value_heads=2, head_dim=4, attn_implementation="fastdrop", **SIZES
    )
    with pytest.raises(ValueError, match=r"^s_aux must be None .* GptOssAttention .*eager"):
        transformers.GptOssForCausalLM(config)(WORDS)


def test_a_bias_of_positions_and_every_kind_of_mask():
    """By the definition: the bias is added where the mask lets a query attend."""
    function = transformers.AttentionInterface()["fastdrop"]
    module = torch.nn.Module()
    q, k, v = torch.randn(3, 2, 4, 5, 8)
    bias, bools = torch.randn(4, 5, 5), torch.rand(2, 1, 5, 5) < 0.7
    causal = torch.ones(5, 5, dtype=torch.bool).tril()
    numbers = torch.randn(2, 1, 5, 5)
    for mask, is_causal, wanted in (
        (None, False, bias),
        (None, True, bias.masked_fill(~causal, -torch.inf)),
        (None, None, bias.masked_fill(~causal, -torch.inf)),  # a module's attention is causal unless it says
        (bools, True, bias.masked_fill(~bools, -torch.inf)),
        (numbers, True, bias + numbers),
    ):
        found, weights = function(module, q, k, v, mask, is_causal=is_causal, position_bias=bias)
        assert weights is None
        exact = torch.nan_to_num(F.softmax(q @ k.mT / 8**0.5 + wanted, -1)) @ v
        torch.testing.assert_close(found, exact.transpose(1, 2))


def test_names():
    ft.register_attention()  # once more
    ft.register_attention("another")
    for name in ("eager", "sdpa", "flash_attention_2"):
        with pytest.raises(ValueError, match=r"^name must be one that transformers does not know yet"):
            ft.register_attention(name)
    with pytest.raises(TypeError, match=r"^name must be a string, not"):
        ft.register_attention(3)


def test_without_transformers_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match="pip install -U transformers"):
        ft.register_attention()
