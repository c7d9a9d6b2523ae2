// Trains a small byte-level language model on the sources of the Python
// standard library, in plain libtorch.
//
// usage: train_lm [--steps N] [--width N] [--layers N] [--device cpu|cuda]
//                 [--text FOLDER] [--no-scopes]
#include <ATen/record_function.h>
#include <torch/torch.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace fs = std::filesystem;
namespace F = torch::nn::functional;
namespace nn = torch::nn;

namespace {

constexpr int64_t kBytes = 256, kContext = 128, kBatch = 8, kHeads = 4;
constexpr size_t kTextBytes = 4 << 20;

struct Options {
  int64_t steps = 60, width = 256, layers = 4;
  torch::Device device = torch::kCPU;
  std::string text;
  bool scopes = true;  // name the blocks for profilers
};

// The first folder /usr/lib/python3*.
std::string StandardLibrary() {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator("/usr/lib")) {
    if (entry.path().filename().string().rfind("python3", 0) == 0) {
      found.push_back(entry.path().string());
    }
  }
  std::sort(found.begin(), found.end());
  // python3 itself holds packages; python3.11 the library.
  return found.empty() ? "" : found.back();
}

torch::Tensor ReadText(const std::string& folder) {
  std::vector<fs::path> files;
  const auto skip = fs::directory_options::skip_permission_denied;
  for (const auto& entry : fs::recursive_directory_iterator(folder, skip)) {
    if (entry.path().extension() == ".py") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<uint8_t> text;
  for (const fs::path& file : files) {
    if (text.size() >= kTextBytes) break;
    std::ifstream in(file, std::ios::binary);
    text.insert(text.end(), std::istreambuf_iterator<char>(in), {});
  }
  text.resize(std::min(text.size(), kTextBytes));
  return torch::tensor(at::ArrayRef<uint8_t>(text), torch::kUInt8);
}

struct BlockImpl : nn::Module {
  explicit BlockImpl(int64_t width)
      : norm1(register_module("norm1",
                              nn::LayerNorm(nn::LayerNormOptions({width})))),
        norm2(register_module("norm2",
                              nn::LayerNorm(nn::LayerNormOptions({width})))),
        qkv(register_module("qkv", nn::Linear(width, 3 * width))),
        out(register_module("out", nn::Linear(width, width))),
        up(register_module("up", nn::Linear(width, 4 * width))),
        down(register_module("down", nn::Linear(4 * width, width))) {}

  torch::Tensor forward(torch::Tensor x) {
    const int64_t batch = x.size(0), length = x.size(1), width = x.size(2);
    auto parts = qkv(norm1(x))
                     .view({batch, length, 3, kHeads, width / kHeads})
                     .permute({2, 0, 3, 1, 4})
                     .unbind();
    auto mixed = at::scaled_dot_product_attention(
        parts[0], parts[1], parts[2], {}, /*dropout_p=*/0, /*is_causal=*/true);
    x = x + out(mixed.transpose(1, 2).reshape({batch, length, width}));
    return x + down(torch::gelu(up(norm2(x))));
  }

  nn::LayerNorm norm1, norm2;
  nn::Linear qkv, out, up, down;
};
TORCH_MODULE(Block);

struct ModelImpl : nn::Module {
  explicit ModelImpl(const Options& options)
      : token(register_module("token", nn::Embedding(kBytes, options.width))),
        place(register_module("place", nn::Embedding(kContext, options.width))),
        norm(register_module(
            "norm", nn::LayerNorm(nn::LayerNormOptions({options.width})))),
        head(register_module("head", nn::Linear(options.width, kBytes))),
        scopes(options.scopes) {
    for (int64_t i = 0; i < options.layers; ++i) {
      blocks.push_back(
          register_module("block" + std::to_string(i), Block(options.width)));
    }
  }

  torch::Tensor forward(const torch::Tensor& tokens) {
    auto x =
        token(tokens) + place(torch::arange(tokens.size(1), tokens.options()));
    for (size_t i = 0; i < blocks.size(); ++i) {
      if (scopes) {
        RECORD_USER_SCOPE("blocks." + std::to_string(i));
        x = blocks[i](x);
      } else {
        x = blocks[i](x);
      }
    }
    return head(norm(x));
  }

  nn::Embedding token, place;
  nn::LayerNorm norm;
  nn::Linear head;
  std::vector<Block> blocks;
  bool scopes;
};
TORCH_MODULE(Model);

[[noreturn]] void Usage(const std::string& why) {
  std::fprintf(stderr,
               "%s\nusage: train_lm [--steps N] [--width N] [--layers N] "
               "[--device cpu|cuda] [--text FOLDER] [--no-scopes]\n",
               why.c_str());
  std::exit(2);
}

int64_t Count(const char* text) {
  char* end;
  const long value = std::strtol(text, &end, 10);
  if (*end != '\0' || value < 1) Usage(std::string(text) + " is no count");
  return value;
}

Options Parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string key = argv[i];
    if (key == "--no-scopes") {
      options.scopes = false;
      continue;
    }
    if (i + 1 == argc) Usage(key + " needs a value");
    const char* value = argv[++i];
    if (key == "--steps")
      options.steps = Count(value);
    else if (key == "--width")
      options.width = Count(value);
    else if (key == "--layers")
      options.layers = Count(value);
    else if (key == "--device")
      options.device = torch::Device(value);
    else if (key == "--text")
      options.text = value;
    else
      Usage("unknown option " + key);
  }
  if (options.width % kHeads != 0) Usage("--width has to divide by 4");
  if (options.text.empty()) options.text = StandardLibrary();
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = Parse(argc, argv);
  torch::manual_seed(0);
  if (!fs::is_directory(options.text)) Usage("no folder " + options.text);
  const torch::Tensor text = ReadText(options.text);
  if (text.numel() <= kContext) Usage("no text in " + options.text);
  Model model(options);
  model->to(options.device);
  torch::optim::AdamW optimizer(model->parameters(),
                                torch::optim::AdamWOptions(1e-3));
  std::printf("%.1f MB of text from %s\n", text.numel() / 1e6,
              options.text.c_str());
  float last = 0;
  for (int64_t step = 0; step < options.steps; ++step) {
    std::vector<torch::Tensor> windows;
    const auto starts = torch::randint(text.numel() - kContext - 1, {kBatch});
    for (int64_t i = 0; i < kBatch; ++i) {
      windows.push_back(
          text.narrow(0, starts[i].item<int64_t>(), kContext + 1));
    }
    const auto batch =
        torch::stack(windows).to(torch::kInt64).to(options.device);
    const auto logits = model(batch.slice(1, 0, kContext));
    const auto loss = F::cross_entropy(
        logits.flatten(0, 1), batch.slice(1, 1, kContext + 1).flatten());
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    last = loss.item<float>();
    if (step % 10 == 0 || step + 1 == options.steps) {
      std::printf("step %4ld  loss %.4f\n", static_cast<long>(step), last);
      std::fflush(stdout);
    }
  }
  std::printf("final loss %.6f\n", last);
  return 0;
}
