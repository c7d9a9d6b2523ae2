#include "daemon/report/report_csv.h"

#include "absl/strings/str_cat.h"
#include "daemon/report/escape.h"

namespace invact {

std::string ReportToCsv(const v1::Report& report) {
  std::string out =
      "name,op,ordinal,dtype,category,baseline_bytes,held_bytes,side_bytes,"
      "eliminated_bytes,action,declined,shared\n";
  for (const v1::Layer& layer : report.layers()) {
    absl::StrAppend(&out, CsvField(layer.name()), ",", CsvField(layer.op()),
                    ",", layer.ordinal(), ",", CsvField(layer.dtype()), ",",
                    CsvField(layer.category()), ",", layer.baseline_bytes(),
                    ",", layer.held_bytes(), ",", layer.side_bytes(), ",",
                    layer.eliminated_bytes(), ",", CsvField(layer.action()),
                    ",", CsvField(layer.declined()), ",",
                    layer.shared() ? "true" : "false", "\n");
  }
  return out;
}

}  // namespace invact
