// usage: print_sample NAME FORMAT > tests/data/NAME.report.FORMAT
#include <cstdio>

#include "tests/unit/report/samples.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: print_sample NAME json|txt|all.txt|csv|md\n");
    return 2;
  }
  std::fputs(invact::PrintSample(argv[1], argv[2]).c_str(), stdout);
  return 0;
}
