// invact ls: the stored runs, newest first.
#include <memory>

#include "absl/strings/str_cat.h"
#include "daemon/cli/verbs.h"
#include "daemon/report/runs_json.h"
#include "daemon/report/runs_text.h"

namespace invact::cli {
namespace {

constexpr int kPage = 1000;
constexpr int kTableRows = 40;
constexpr int kUnlimited = 1 << 20;

struct LsFlags {
  int limit = -1;  // 0: all; -1: all in JSON, what a screen takes in text
};

absl::StatusOr<std::vector<v1::Run>> Fetch(Client& client, size_t limit,
                                           bool* more) {
  std::vector<v1::Run> out;
  v1::ListRunsRequest request;
  do {
    const size_t left = limit == 0 ? kPage : limit - out.size();
    request.set_page_size(static_cast<int>(std::min<size_t>(left, kPage)));
    auto page = client.Call(&Client::Stub::ListRuns, request);
    if (!page.ok()) return page.status();
    out.insert(out.end(), page->runs().begin(), page->runs().end());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty() && (limit == 0 || out.size() < limit));
  *more = !request.page_token().empty();
  return out;
}

// The last complete step of each run; nothing where there is none.
absl::StatusOr<std::vector<std::optional<v1::StepTotals>>> LastSteps(
    Client& client, const std::vector<v1::Run>& runs) {
  std::vector<std::optional<v1::StepTotals>> out(runs.size());
  for (size_t i = 0; i < runs.size(); ++i) {
    if (runs[i].steps() == 0) continue;
    // Steps that were not completed have numbers, too.
    v1::QueryTimelineRequest request;
    request.set_run(runs[i].id());
    request.set_first_step(runs[i].steps() - 1);
    auto page = client.Call(&Client::Stub::QueryTimeline, request);
    if (absl::IsNotFound(page.status())) continue;  // removed meanwhile
    if (!page.ok()) return page.status();
    for (const v1::StepTotals& step : page->steps()) {
      if (step.complete()) out[i] = step;
    }
  }
  return out;
}

absl::StatusOr<int> Ls(Shell& shell, const LsFlags& flags) {
  absl::StatusOr<Client*> daemon = shell.Daemon();
  if (!daemon.ok()) return daemon.status();
  const int limit = flags.limit >= 0 ? flags.limit
                    : shell.json     ? 0
                                     : kTableRows;
  bool more = false;
  auto runs = Fetch(**daemon, limit, &more);
  if (!runs.ok()) return runs.status();
  if (shell.json) {
    shell.output.Data(RunsToJson(*runs));
  } else if (runs->empty()) {
    shell.output.Note(
        "no run is stored yet; start one with: invact run -- CMD");
  } else {
    auto last = LastSteps(**daemon, *runs);
    if (!last.ok()) return last.status();
    TextStyle style = shell.output.style();
    // A program that reads the table wants whole words.
    if (!shell.output.terminal()) style.width = kUnlimited;
    shell.output.Data(RunsToText(*runs, style, *last));
  }
  if (more && !shell.json) {
    shell.output.Note(absl::StrCat("the newest ", runs->size(),
                                   " runs; all of them: invact ls --limit 0"));
  }
  return kOk;
}

}  // namespace

void AddLs(CLI::App& app, Shell& shell) {
  CLI::App* verb = app.add_subcommand("ls", "The stored runs, newest first");
  auto flags = std::make_shared<LsFlags>();
  verb->add_option("--limit", flags->limit,
                   "At most so many, 0: all (text 40, JSON all)")
      ->check(CLI::Validator(CLI::NonNegativeNumber).description(""))
      ->type_name("N");
  verb->callback([&shell, flags] {
    shell.action = [&shell, flags] { return Ls(shell, *flags); };
  });
}

}  // namespace invact::cli
