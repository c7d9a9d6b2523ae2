"""Small models of random weights, one of every family that is promised.

A family is a function that gives a model, and a function that gives a batch
for it. Attention is the eager one: it is the same in every run. Hidden states
are above the 16 KiB from which on a storage is rebuilt, in 16 bits, too.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import (
    BertConfig, BertForMaskedLM, GemmaConfig, GemmaForCausalLM, GPT2Config,
    GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Phi3Config,
    Phi3ForCausalLM, ViTConfig, ViTForImageClassification, WhisperConfig)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

WIDTH, HEADS, TOKENS, ROWS, WORDS = 64, 2, 32, 4, 96
_HF = {"attn_implementation": "eager"}


def _tokens():
    ids = torch.randint(0, WORDS, (ROWS, TOKENS))
    return {"input_ids": ids, "labels": ids}


def bert():
    return BertForMaskedLM(BertConfig(
        vocab_size=WORDS, hidden_size=WIDTH, num_hidden_layers=2,
        num_attention_heads=HEADS, intermediate_size=4 * WIDTH,
        hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1,
        max_position_embeddings=TOKENS, **_HF)), _tokens


def gpt2():
    return GPT2LMHeadModel(GPT2Config(
        vocab_size=WORDS, n_embd=WIDTH, n_layer=2, n_head=HEADS,
        n_positions=TOKENS, activation_function="gelu_new", use_cache=False,
        **_HF)), _tokens


_DECODER = {
    "vocab_size": WORDS, "hidden_size": WIDTH, "num_hidden_layers": 2,
    "num_attention_heads": HEADS, "num_key_value_heads": 1,
    "intermediate_size": 3 * WIDTH, "max_position_embeddings": TOKENS,
    "attention_dropout": 0.1, "use_cache": False, "pad_token_id": 0, **_HF}


def llama():
    return LlamaForCausalLM(LlamaConfig(**_DECODER)), _tokens


def phi3():
    return Phi3ForCausalLM(Phi3Config(
        **_DECODER, resid_pdrop=0.1, embd_pdrop=0.1)), _tokens


def gemma():
    return GemmaForCausalLM(GemmaConfig(
        **_DECODER, head_dim=WIDTH // HEADS,
        hidden_activation="gelu_pytorch_tanh")), _tokens


def vit():
    model = ViTForImageClassification(ViTConfig(
        hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH, hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1, image_size=24, patch_size=4,
        num_labels=8, **_HF))
    return model, lambda: {"pixel_values": torch.randn(ROWS, 3, 24, 24),
                           "labels": torch.randint(0, 8, (ROWS,))}


class _Loss(nn.Module):
    """Gives what a Hugging Face model gives: something that has a loss."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        self.loss = self.inner(x).float().pow(2).mean()
        return self


class _Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = WhisperEncoder(WhisperConfig(
            num_mel_bins=8, encoder_layers=2, encoder_attention_heads=HEADS,
            d_model=WIDTH, encoder_ffn_dim=4 * WIDTH, dropout=0.1,
            attention_dropout=0.1, activation_dropout=0.1,
            max_source_positions=TOKENS, **_HF))

    def forward(self, x):
        return self.encoder(x).last_hidden_state


def whisper():
    return _Loss(_Encoder()), lambda: {
        "x": torch.randn(ROWS, 8, 2 * TOKENS)}


def _block(width):
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width), nn.SiLU(),
        nn.Conv2d(width, width, 1), nn.GroupNorm(4, width), nn.SiLU())


def _convolutions():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.SiLU(),
        _block(16), nn.MaxPool2d(2), _block(16), nn.Dropout2d(0.1),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.1),
        nn.Linear(64, 8))


def convnet():
    return _Loss(_convolutions()), lambda: {"x": torch.randn(8, 3, 16, 16)}


def convnet_channels_last():
    model, make = convnet()
    return model.to(memory_format=torch.channels_last), lambda: {
        name: images.contiguous(memory_format=torch.channels_last)
        for name, images in make().items()}


def encoder_layers():
    layers = [nn.TransformerEncoderLayer(
        WIDTH, HEADS, 4 * WIDTH, dropout=0.1, activation=activation,
        batch_first=True, norm_first=first)
        for activation, first in ((F.relu, False), (F.gelu, True))]
    return _Loss(nn.Sequential(*layers)), lambda: {
        "x": torch.randn(ROWS, TOKENS, WIDTH)}


class _Adapted(nn.Module):
    """A frozen linear layer and a trained product of low rank beside it."""

    def __init__(self, base, rank=4):
        super().__init__()
        self.base, self.drop = base, nn.Dropout(0.1)
        self.a = nn.Linear(base.in_features, rank, bias=False)
        self.b = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, x):
        return self.base(x) + self.b(self.a(self.drop(x))) * 2.0


def lora():
    model, make = llama()
    model.requires_grad_(False)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if name in ("q_proj", "v_proj", "gate_proj", "down_proj"):
                setattr(module, name, _Adapted(child))
    # What adapters do so that a frozen embedding starts a graph.
    model.get_input_embeddings().register_forward_hook(
        lambda module, arguments, output: output.requires_grad_(True))
    return model, make


FAMILIES = (bert, vit, gpt2, llama, phi3, gemma, whisper, convnet,
            convnet_channels_last, encoder_layers, lora)
