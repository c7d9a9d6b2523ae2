// RunService: what a run told in order of time.
#include "absl/strings/str_cat.h"
#include "daemon/service/paging.h"
#include "daemon/service/rpc_status.h"
#include "daemon/service/run_service.h"

namespace invact {

grpc::Status RunService::QueryTimeline(grpc::ServerContext* context,
                                       const v1::QueryTimelineRequest* request,
                                       v1::QueryTimelineResponse* response) {
  return Serve(context, [&]() -> absl::Status {
    absl::StatusOr<ReadSession> session = Read(*context);
    if (!session.ok()) return session.status();
    absl::StatusOr<RunRow> row = Choose(*session, request->run(), std::nullopt);
    if (!row.ok()) return row.status();
    return TimelinePage(*session, row->pk, *request, response);
  });
}

namespace {

constexpr int kMostBuckets = 10'000;

// Of the page's steps; the first page of a run also has what was before them.
// The last page has the step under way, whose totals are not known yet.
absl::Status AddMemorySteps(ReadSession& session, int64_t run,
                            const PageToken& from, int64_t last_step,
                            v1::QueryTimelineResponse* response) {
  const int64_t first = from.first == 0 ? -1 : from.first;
  const int64_t last = !response->next_page_token().empty()
                           ? response->steps().rbegin()->index()
                       : last_step > 0 ? last_step
                                       : INT64_MAX;
  absl::StatusOr<std::vector<v1::MemoryStep>> steps =
      session.MemorySteps(run, first, last);
  if (!steps.ok()) return steps.status();
  for (v1::MemoryStep& step : *steps) {
    *response->add_memory_steps() = std::move(step);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<v1::MemoryCurve>> ReadCurves(
    ReadSession& session, int64_t run,
    const v1::QueryTimelineRequest& request) {
  const int64_t last =
      request.last_step() > 0 ? request.last_step() : INT64_MAX;
  std::optional<int64_t> device;
  if (request.has_device()) device = request.device();
  if (!request.changes()) {
    if (request.has_layer() || request.has_ordinal() ||
        request.has_until_step() || request.no_layer()) {
      return absl::InvalidArgumentError(
          "layer, no_layer, ordinal and until_step are for curves of single "
          "changes");
    }
    return session.MemoryCurves(
        run, {request.first_step() == 0 ? -1 : request.first_step(), last,
              request.curve_buckets(), device, request.category()});
  }
  ChangeCurveFilter filter;
  filter.first_step = request.first_step();
  filter.last_step = request.has_until_step() ? request.until_step() : last;
  filter.buckets = request.curve_buckets();
  filter.device = device;
  filter.category = request.category();
  if (request.has_layer()) filter.layer = request.layer();
  filter.no_layer = request.no_layer();
  if (request.has_ordinal()) filter.ordinal = request.ordinal();
  return session.ChangeCurves(run, filter);
}

absl::Status Curves(ReadSession& session, int64_t run,
                    const v1::QueryTimelineRequest& request,
                    v1::QueryTimelineResponse* response) {
  if (request.curve_buckets() < 0 || request.curve_buckets() > kMostBuckets) {
    return WithNext(absl::InvalidArgumentError(absl::StrCat(
                        request.curve_buckets(), " buckets for a curve")),
                    absl::StrCat("ask for 1 to ", kMostBuckets));
  }
  absl::StatusOr<std::vector<v1::MemoryCurve>> curves =
      ReadCurves(session, run, request);
  if (absl::IsInvalidArgument(curves.status())) {
    return WithNext(curves.status(),
                    "see docs/memory_events.md for their names");
  }
  if (absl::IsNotFound(curves.status())) {
    return WithNext(curves.status(), "see its layers: invact report RUN");
  }
  if (!curves.ok()) return curves.status();
  for (v1::MemoryCurve& curve : *curves) {
    *response->add_curves() = std::move(curve);
  }
  return absl::OkStatus();
}

}  // namespace

// First all step totals, then all events: a token says which and from where.
absl::Status RunService::TimelinePage(ReadSession& session, int64_t run,
                                      const v1::QueryTimelineRequest& request,
                                      v1::QueryTimelineResponse* response) {
  if (request.curve_buckets() != 0)
    return Curves(session, run, request, response);
  absl::StatusOr<int64_t> size = PageSize(request.page_size());
  if (!size.ok()) return size.status();
  PageToken from{'s', request.first_step(), 0};
  if (!request.page_token().empty()) {
    absl::StatusOr<PageToken> token = ReadToken(request.page_token());
    if (!token.ok()) return token.status();
    from = *token;
  }
  if (from.letter == 's') {
    auto steps = session.Steps(run, from.first, request.last_step(), *size + 1);
    if (!steps.ok()) return steps.status();
    for (const v1::StepTotals& step : *steps) {
      if (response->steps_size() == *size) {
        response->set_next_page_token(absl::StrCat("s:", step.index()));
        break;
      }
      *response->add_steps() = step;
    }
    if (request.memory()) {
      const absl::Status status =
          AddMemorySteps(session, run, from, request.last_step(), response);
      if (!status.ok()) return status;
    }
    if (!response->next_page_token().empty()) return absl::OkStatus();
    if (!request.events()) return absl::OkStatus();
    from = {'e', 0, 0};
    if (response->steps_size() > 0) {
      response->set_next_page_token("e:0:0");
      return absl::OkStatus();
    }
  }
  auto page = session.Events(run, request.first_step(), request.last_step(),
                             {from.first, from.second}, *size);
  if (!page.ok()) return page.status();
  for (v1::Event& event : page->events) *response->add_events() = event;
  if (page->next) {
    response->set_next_page_token(
        absl::StrCat("e:", page->next->seq, ":", page->next->offset));
  }
  return absl::OkStatus();
}

}  // namespace invact
