"""Tiny transformers of random weights. See probe.py.

Each family is built with one and with two blocks, so that a test can take the
bytes of one block as a difference.
"""

import torch
from transformers import (
    BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel, LlamaConfig,
    LlamaForCausalLM, ViTConfig, ViTForImageClassification)

from probe import case, gradients, main, names

HIDDEN, HEADS, TOKENS, VOCABULARY = 128, 2, 16, 64


def _bert(blocks, dropout=0.0):
    model = BertForMaskedLM(BertConfig(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, num_hidden_layers=blocks,
        num_attention_heads=HEADS, intermediate_size=4 * HIDDEN,
        hidden_dropout_prob=dropout, attention_probs_dropout_prob=0.0,
        max_position_embeddings=TOKENS))

    def batch(rows):
        ids = torch.randint(0, VOCABULARY, (rows, TOKENS))
        return {"input_ids": ids, "labels": ids}

    return model, batch


def _gpt2(blocks, activation="gelu_pytorch_tanh"):
    model = GPT2LMHeadModel(GPT2Config(
        vocab_size=VOCABULARY, n_embd=HIDDEN, n_layer=blocks, n_head=HEADS,
        n_positions=TOKENS, activation_function=activation, resid_pdrop=0.0,
        embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False))

    def batch(rows):
        ids = torch.randint(0, VOCABULARY, (rows, TOKENS))
        return {"input_ids": ids, "labels": ids}

    return model, batch


def _llama(blocks):
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, num_hidden_layers=blocks,
        num_attention_heads=HEADS, num_key_value_heads=HEADS,
        intermediate_size=7 * HIDDEN // 2, max_position_embeddings=TOKENS,
        use_cache=False))

    def batch(rows):
        ids = torch.randint(0, VOCABULARY, (rows, TOKENS))
        return {"input_ids": ids, "labels": ids}

    return model, batch


def _vit(blocks):
    model = ViTForImageClassification(ViTConfig(
        hidden_size=HIDDEN, num_hidden_layers=blocks,
        num_attention_heads=HEADS, intermediate_size=4 * HIDDEN,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        image_size=12, patch_size=3, num_labels=8))

    def batch(rows):
        return {"pixel_values": torch.randn(rows, 3, 12, 12),
                "labels": torch.zeros(rows, dtype=torch.long)}

    return model, batch


def _train(probe, model, make, rows, dtype=torch.float32, autocast=False,
           steps=2):
    model = model.to(dtype).train()
    for _ in range(steps):
        batch = {key: value.to(dtype) if value.is_floating_point() else value
                 for key, value in make(rows).items()}

        def forward():
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                return model(**batch).loss

        probe.step(forward, model)
        model.zero_grad()


def _family(build, **options):
    def run(probe):
        for blocks in (1, 2):
            for rows in (2, 4):
                torch.manual_seed(0)
                model, batch = build(blocks)
                # Site names are the model's own: one model at a time.
                _train(probe, model, batch, rows, **options)
                del model
    return run


def _case(name, run):
    run.__name__ = name
    case(run)


for _name, _build in (("bert", _bert), ("vit", _vit), ("gpt2", _gpt2),
                      ("llama", _llama)):
    _case(f"{_name}_bfloat16", _family(_build, dtype=torch.bfloat16))
    _case(f"{_name}_float32", _family(_build))
    _case(f"{_name}_autocast", _family(_build, autocast=True))


@case
def bert_with_dropout(probe):
    model, batch = _bert(2, dropout=0.1)
    _train(probe, model, batch, 3, steps=3)


@case
def gpt2_with_a_composite_gelu(probe):
    model, batch = _gpt2(2, "gelu_new")
    _train(probe, model, batch, 3, steps=3)


@case
def llama_with_its_own_checkpointing(probe):
    model, batch = _llama(2)
    model.gradient_checkpointing_enable(
        gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    for _ in range(2):
        loss = model(**batch(2)).loss
        probe.save_totals("kept")
        loss.backward()
    probe.note_near(gradients(model)[:8])


CASES = names(__name__)

if __name__ == "__main__":
    main()
