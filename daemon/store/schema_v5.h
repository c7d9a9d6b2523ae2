// Version 5: the account of device memory by the allocator's events
// (docs/memory_events.md), and events compressed. Released: never edit, add a
// step in schema.cc instead.
//
// memory_steps     one a step and device; step -1: all that was before the
//                  first. complete 0: as far as it came. peak_bytes: asked for
//                  at the peak, the sum of its moment's categories;
//                  most_reserved_bytes: of the whole step.
// memory_moments   what was alive: moment begin | backward | end | peak of a
//                  step that got there, oom of a failure. Bytes by category,
//                  as asked for; awaiting_bytes: freed, in use by another
//                  stream. torch_*: its own numbers of the same moment.
// memory_holders   the largest of a peak or of a failure, n from 0. scope, site
//                  NULL: none is known. Of a peak they are kept for the newest
//                  steps and for the step with the highest one.
// memory_failures  the first out-of-memory of a device.
// memory_blobs     changes of device memory as they came in a batch: records of
//                  record_bytes (memory_record.h), compressed by zstd. summary:
//                  what a curve of them needs (memory_summary.h). levels 1: a
//                  whole set of levels is among them. The quota deletes them as
//                  it does event_blobs, the oldest of both first.
// event_blobs      packed 1: records are compressed by zstd; events: how many.
//                  packed 0: as they came, before this version.
// batches          memory_events: changes of device memory that came.
// codebooks        also for field memory_category.
#ifndef INVACT_DAEMON_STORE_SCHEMA_V5_H_
#define INVACT_DAEMON_STORE_SCHEMA_V5_H_

#include <string_view>

namespace invact {

inline constexpr std::string_view kSchemaV5 = R"sql(
CREATE TABLE memory_steps (
  run                 INTEGER NOT NULL REFERENCES runs (pk),
  step                INTEGER NOT NULL,
  device              INTEGER NOT NULL,
  complete            INTEGER NOT NULL,
  begin_ns            INTEGER NOT NULL,
  peak_bytes          INTEGER NOT NULL,
  peak_phase          TEXT NOT NULL,
  most_reserved_bytes INTEGER NOT NULL,
  allocations         INTEGER NOT NULL,
  frees               INTEGER NOT NULL,
  out_of_memory       INTEGER NOT NULL,
  PRIMARY KEY (run, step, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX memory_steps_by_peak ON memory_steps (run, device, peak_bytes);

CREATE TABLE memory_moments (
  run                   INTEGER NOT NULL REFERENCES runs (pk),
  step                  INTEGER NOT NULL,
  device                INTEGER NOT NULL,
  moment                TEXT NOT NULL,
  time_ns               INTEGER NOT NULL,
  unknown_bytes         INTEGER NOT NULL,
  parameter_bytes       INTEGER NOT NULL,
  gradient_bytes        INTEGER NOT NULL,
  optimizer_state_bytes INTEGER NOT NULL,
  activation_bytes      INTEGER NOT NULL,
  input_bytes           INTEGER NOT NULL,
  weight_copy_bytes     INTEGER NOT NULL,
  temporary_bytes       INTEGER NOT NULL,
  other_bytes           INTEGER NOT NULL,
  awaiting_bytes        INTEGER NOT NULL,
  reserved_bytes        INTEGER NOT NULL,
  torch_allocated_bytes INTEGER,
  torch_requested_bytes INTEGER,
  torch_reserved_bytes  INTEGER,
  PRIMARY KEY (run, step, device, moment)
) STRICT, WITHOUT ROWID;

CREATE TABLE memory_holders (
  run      INTEGER NOT NULL REFERENCES runs (pk),
  device   INTEGER NOT NULL,
  moment   TEXT NOT NULL,
  step     INTEGER NOT NULL,
  n        INTEGER NOT NULL,
  scope    INTEGER,
  site     INTEGER,
  category TEXT NOT NULL,
  bytes    INTEGER NOT NULL,
  PRIMARY KEY (run, device, moment, step, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE memory_failures (
  run               INTEGER NOT NULL REFERENCES runs (pk),
  device            INTEGER NOT NULL,
  step              INTEGER NOT NULL,
  phase             TEXT NOT NULL,
  asked_bytes       INTEGER NOT NULL,
  device_free_bytes INTEGER NOT NULL,
  PRIMARY KEY (run, device)
) STRICT, WITHOUT ROWID;

CREATE TABLE memory_blobs (
  pk           INTEGER PRIMARY KEY,
  run          INTEGER NOT NULL REFERENCES runs (pk),
  seq          INTEGER NOT NULL,
  codebook     INTEGER NOT NULL,
  record_bytes INTEGER NOT NULL,
  events       INTEGER NOT NULL,
  first_step   INTEGER NOT NULL,
  last_step    INTEGER NOT NULL,
  levels       INTEGER NOT NULL,
  summary      BLOB NOT NULL,
  records      BLOB NOT NULL,
  UNIQUE (run, seq)
) STRICT;

ALTER TABLE event_blobs ADD COLUMN packed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE event_blobs ADD COLUMN events INTEGER;
ALTER TABLE batches ADD COLUMN memory_events INTEGER NOT NULL DEFAULT 0;

DROP VIEW batches_v1;
CREATE VIEW batches_v1 AS
SELECT r.id AS run_id, b.seq, b.wall_ns, b.mono_ns, b.stored_ns, b.events,
       e.pk IS NOT NULL AS events_kept, b.memory_events,
       m.pk IS NOT NULL AS memory_events_kept
FROM batches AS b JOIN runs AS r ON r.pk = b.run
LEFT JOIN event_blobs AS e ON e.run = b.run AND e.seq = b.seq
LEFT JOIN memory_blobs AS m ON m.run = b.run AND m.seq = b.seq;

CREATE VIEW memory_steps_v1 AS
SELECT r.id AS run_id, s.step, s.device, s.complete, s.begin_ns, s.peak_bytes,
       s.peak_phase, p.time_ns AS peak_ns,
       p.reserved_bytes AS reserved_at_peak_bytes, s.most_reserved_bytes,
       s.allocations, s.frees, s.out_of_memory
FROM memory_steps AS s JOIN runs AS r ON r.pk = s.run
LEFT JOIN memory_moments AS p ON p.run = s.run AND p.step = s.step
     AND p.device = s.device AND p.moment = 'peak';

CREATE VIEW memory_moments_v1 AS
SELECT r.id AS run_id, m.step, m.device, m.moment, m.time_ns,
       m.unknown_bytes + m.parameter_bytes + m.gradient_bytes +
       m.optimizer_state_bytes + m.activation_bytes + m.input_bytes +
       m.weight_copy_bytes + m.temporary_bytes + m.other_bytes AS bytes,
       m.parameter_bytes, m.gradient_bytes, m.optimizer_state_bytes,
       m.activation_bytes, m.input_bytes, m.weight_copy_bytes,
       m.temporary_bytes, m.other_bytes, m.unknown_bytes, m.awaiting_bytes,
       m.torch_allocated_bytes - (m.unknown_bytes + m.parameter_bytes +
       m.gradient_bytes + m.optimizer_state_bytes + m.activation_bytes +
       m.input_bytes + m.weight_copy_bytes + m.temporary_bytes +
       m.other_bytes) AS rounding_bytes, m.reserved_bytes,
       m.torch_allocated_bytes, m.torch_requested_bytes, m.torch_reserved_bytes
FROM memory_moments AS m JOIN runs AS r ON r.pk = m.run;

CREATE VIEW memory_holders_v1 AS
SELECT r.id AS run_id, h.step, h.device, h.moment, h.n, c.name, s.op,
       s.pack_ordinal, h.category, h.bytes
FROM memory_holders AS h JOIN runs AS r ON r.pk = h.run
LEFT JOIN sites AS s ON s.run = h.run AND s.id = h.site
LEFT JOIN scopes AS c ON c.run = h.run AND c.id = COALESCE(h.scope, s.scope)
)sql";

}  // namespace invact

#endif  // INVACT_DAEMON_STORE_SCHEMA_V5_H_
