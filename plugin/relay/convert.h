// From the shared memory's words to the wire's. Pure functions; what is not
// known stays unset. Texts and numbers come bounded from Reader.
#ifndef INVACT_PLUGIN_RELAY_CONVERT_H_
#define INVACT_PLUGIN_RELAY_CONVERT_H_

#include <cstdint>
#include <span>
#include <vector>

#include "invact/v1/ingest.pb.h"
#include "plugin/ring/reader.h"

namespace invact {

void ToProto(const RunView& view, v1::Run* out);
void ToProto(const StepTotalsPod& totals, v1::StepTotals* out);
void ToProto(uint32_t number, const ScopeView& view, v1::Scope* out);
void ToProto(uint32_t number, const SiteView& view, v1::Site* out);
void ToProto(const OomView& view, v1::OutOfMemory* out);
void ToProto(const KernelView& view, v1::KernelCalibration* out);
void ToProto(uint32_t number, const ParameterView& view, v1::Parameter* out);
// One message a step, or more where it has many records. Records of an unknown
// kind are left out: the step's total then tells.
std::vector<v1::StepDigests> ToProto(std::span<const DigestRecord> records);
// Of kStep, and of kOutOfMemory.
void ToProto(const MemoryRowPod& row, v1::MemoryStep* out);
void ToProto(const MemoryRowPod& row, v1::MemoryFailure* out);
void ToProto(const TableView& table, const std::vector<ScopeSums>& scopes,
             v1::SiteTable* out);

// Adds rows and scopes up until the table has at most `bytes` encoded: the
// smallest rows go into the row of kOtherSite, so that sums stay exact, and
// the last scopes are left out.
void FitTable(size_t bytes, v1::SiteTable* table);

}  // namespace invact

#endif  // INVACT_PLUGIN_RELAY_CONVERT_H_
