# SPDX-License-Identifier: BSD-3-Clause
"""Models that others wrote, after replace_dropout and within replace_functional."""

import pytest
import torch
import transformers
from torch import nn

import fastdrop.torch as ft
from torch_judge import Draws, seeded

NESTED = "ignore:The PyTorch API of nested tensors:UserWarning"


def encoder(**options):
    layer = nn.TransformerEncoderLayer(16, 4, 32, **options)
    return seeded(nn.TransformerEncoder, layer, 2, enable_nested_tensor=options.get("batch_first", False))


PADDING = torch.tensor([[False] * 6, [False] * 4 + [True] * 2])
CAUSAL = nn.Transformer.generate_square_subsequent_mask(6)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor", NESTED)
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(
    "masks",
    [{}, {"src_key_padding_mask": PADDING}, {"mask": CAUSAL, "is_causal": True}],
    ids=["none", "padding", "causal"],
)
def test_an_encoder_without_dropout_and_in_evaluation_is_torchs(masks, batch_first, norm_first):
    model = encoder(dropout=0.0, batch_first=batch_first, norm_first=norm_first)
    x = torch.randn((2, 6, 16) if batch_first else (6, 2, 16))
    trained = model(x, **masks)
    with torch.no_grad():
        evaluated = model.eval()(x, **masks)  # may take torch's path for inference, with nested tensors
    ft.replace_dropout(model)
    for module in model.modules():
        if isinstance(module, nn.MultiheadAttention):
            assert type(module) is ft.MultiheadAttention
            module.dropout = 0.3  # does not matter in evaluation
    with torch.no_grad():
        assert torch.equal(model(x, **masks), evaluated)
    for module in model.modules():
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    assert torch.equal(model.train()(x, **masks), trained)


def train(model, inputs, loss, steps=3):
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(model(*inputs))
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_transformer_trains_reproducibly_without_a_draw_of_torch(p):
    source, target = torch.randn(2, 6, 16), torch.randn(2, 5, 16)

    def losses():
        torch.manual_seed(0)
        model = nn.Transformer(16, 4, 1, 1, 32, p, batch_first=True)
        ft.replace_dropout(model)
        with Draws() as draws:
            found = train(model, (source, target), lambda y: (y - target).square().mean())
        assert draws.torchs == 0
        assert draws.ours == 3 * 2 * 10  # three steps, two passes, 4 + 6 places
        return found

    assert losses() == losses()


def bert(attention):
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=32,
        max_position_embeddings=16,
        attn_implementation=attention,
    )
    return transformers.BertForSequenceClassification(config)


def gpt2(attention):
    config = transformers.GPT2Config(
        vocab_size=50, n_embd=16, n_layer=2, n_head=4, n_positions=16, attn_implementation=attention
    )
    return transformers.GPT2LMHeadModel(config)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("make", [bert, gpt2])
@pytest.mark.parametrize("is_checkpointed", [False, True])
def test_models_of_hugging_face(make, attention, is_checkpointed):
    words = torch.randint(50, (2, 8), generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1]) if make is bert else words

    def run(replaced):
        torch.manual_seed(0)
        model = make(attention).train()
        if is_checkpointed:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        names = list(model.state_dict())
        with Draws() as draws:
            if replaced:
                ft.replace_dropout(model)
                with ft.replace_functional():
                    losses = steps(model)
            else:
                losses = steps(model)
        assert list(model.state_dict()) == names
        return losses, draws

    def steps(model):
        optimizer, losses = torch.optim.SGD(model.parameters(), 0.1), []
        for _ in range(3):
            optimizer.zero_grad()
            loss = model(input_ids=words, labels=labels).loss
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    losses, draws = run(True)
    assert draws.torchs == 0
    assert draws.ours > 0
    assert run(True)[0] == losses
    assert run(False)[1].torchs > 0  # so the count counts
