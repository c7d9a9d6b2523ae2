// Stored runs of models whose saved tensors are known: bytes a token and unit
// of width by the tensor lists of published papers and of the measurements in
// docs/benchmarks.md, put together by hand.
#ifndef INVACT_TESTS_UNIT_REPORT_MODELS_H_
#define INVACT_TESTS_UNIT_REPORT_MODELS_H_

#include "tests/unit/report/run_builder.h"

namespace invact {

// BERT-base in bf16, 6 layers, 32 sequences of 512: 144 MiB of block inputs.
// Blocks take 30 % of the step for their forward by the device's clock.
RunBuilder BertRun(bool invert);

// Llama-3-8B's shape in bf16, 4 x 2048 tokens.
RunBuilder LlamaRun(int layers, bool invert);

}  // namespace invact

#endif  // INVACT_TESTS_UNIT_REPORT_MODELS_H_
