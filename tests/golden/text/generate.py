"""What Hugging Face's BertModel and a mean over tokens make of a few sentences, with random weights.

Writes an encoder's folder here (config.json, tokenizer.json, model.safetensors), its TorchScript module (model.pt in
module/, beside the same tokenizer) and expected.safetensors. Made with torch 2.11.0, transformers 5.24.0 and tokenizers 0.23.3.
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

here = Path(__file__).parent
words = "[PAD] [UNK] [CLS] [SEP] a photo of the zebra oka ##pi polar bear ##s red".split()
tokenizer = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
tokenizer.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
)
tokenizer.enable_padding(pad_id=0, length=8)  # as published ones have it; a reader has to undo it
tokenizer.enable_truncation(5)
tokenizer.save(str(here / "tokenizer.json"))

torch.manual_seed(0)
config = BertConfig(
    vocab_size=len(words), hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20,
    max_position_embeddings=16, type_vocab_size=2, layer_norm_eps=1e-12,
)  # fmt: skip
bert = BertModel(config).eval()
with torch.no_grad():
    for parameter in bert.parameters():  # norms and biases that do something
        parameter.add_(torch.randn_like(parameter) * 0.3)
save_file({name: value.contiguous() for name, value in bert.state_dict().items()}, here / "model.safetensors")
keys = "hidden_size num_hidden_layers num_attention_heads intermediate_size vocab_size max_position_embeddings"
keys += " type_vocab_size layer_norm_eps hidden_act model_type"
(here / "config.json").write_text(json.dumps({key: getattr(config, key) for key in keys.split()}, indent=2) + "\n")

sentences = ["a photo of a zebra", "Okapi", "the red polar bears of the zebra", "unknown word"]
tokenizer.no_truncation()
tokenizer.no_padding()
expected = []
with torch.no_grad():
    for sentence in sentences:
        ids = torch.tensor([tokenizer.encode(sentence).ids])
        mean = bert(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0].mean(0)
        expected.append(mean / mean.norm())
save_file({"vectors": torch.stack(expected)}, here / "expected.safetensors")


class Words(torch.nn.Module):
    """An encoder of a kind of its own: embeddings that know their place."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(len(words), 5)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        places = torch.arange(tokens.size(1), device=tokens.device).unsqueeze(-1)
        return (self.table(tokens) + places * 0.1) * mask.unsqueeze(-1)


module = Words()
(here / "module").mkdir(exist_ok=True)
torch.jit.script(module).save(here / "module" / "model.pt")
shutil.copy(here / "tokenizer.json", here / "module" / "tokenizer.json")
expected = []
with torch.no_grad():
    for sentence in sentences:
        ids = torch.tensor([tokenizer.encode(sentence).ids])
        mean = module(ids, torch.ones_like(ids))[0].mean(0)
        expected.append(mean / mean.norm())
save_file({"vectors": torch.stack(expected)}, here / "module" / "expected.safetensors")
