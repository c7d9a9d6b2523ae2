// Version 1 of the tables and of the stable views. Released: never edit, add a
// step in schema.cc instead. Programs of others build on the views named *_v1,
// which docs/storage.md lists; the tables may change.
//
// Bytes are bytes of storages. *_ns since the epoch in runs, batches and exits;
// CLOCK_MONOTONIC of the traced process in steps and site_tables. 0/1 are
// booleans. NULL: does not apply or is not known. Names (actions, categories,
// reasons) are text; numbers stand in event records alone.
//
// runs         one a traced process. pk: its number in the other tables.
//              state running | finished | crashed; end_reason exit | signal |
//              oom | lost, '' while running. secret_sha256: who may append.
//              last_seq: newest stored batch; seen_ns: when something last
//              came; parent_told: exit_code or signal is the parent's word and
//              wins over the relay's. peak_bytes: largest allocated peak of a
//              step, 0: not known; peak_held_bytes: largest held_bytes.
//              events_dropped: by ring or spool; events_expired: by the quota.
//              oom_*: the step that ran out of memory.
// batches      one a stored batch; (run, seq) makes it count once. wall_ns and
//              mono_ns: one moment on both clocks; stored_ns: at COMMIT.
// event_blobs  a batch's records as they came (event_record.h), in the order
//              they arrived; the quota deletes from the lowest pk. codebook:
//              whose numbers they hold; first_step, last_step: of its records.
// codebooks    what numbers of an event record mean: field kind | source |
//              action. A new book where a version numbers them otherwise.
// scopes       modules of a run. block: child of a ModuleList or Sequential.
// sites        places that save a tensor. pack_ordinal: among the saves of one
//              call of its scope; op '' until it is known.
// steps        totals of each step at the instant its outermost backward began.
//              complete 0: it broke off in `phase` forward | backward.
//              held_bytes includes side_bytes. backward_begin_ns, end_ns 0: not
//              reached. allocated_*, peak_*: torch's allocator; device_*: by
//              device events.
// site_tables  the step that a per-site table is of. kind: last (newest
//              complete), max (largest baseline), live (under way).
// site_rows    one a site that this step touched. declined: reason code, '':
//              not declined. shared 1: another site owns every storage.
// scope_rows   one a block that this step ran: its inputs, calls, forward time
//              on the host's clock; the checkpointing model reads it.
// warnings     what the job was told on stderr, once a thing, at most 100.
// kernels      the calibration that the plugin found, one an op and dtype.
// exits        what a parent knew of a process, kept for runs that come later.
#ifndef INVACT_DAEMON_STORE_SCHEMA_V1_H_
#define INVACT_DAEMON_STORE_SCHEMA_V1_H_

#include <string_view>

namespace invact {

inline constexpr std::string_view kSchemaV1 = R"sql(
CREATE TABLE runs (
  pk              INTEGER PRIMARY KEY,
  id              TEXT NOT NULL UNIQUE,
  name            TEXT NOT NULL,
  job_id          TEXT NOT NULL,
  state           TEXT NOT NULL,
  end_reason      TEXT NOT NULL DEFAULT '',
  exit_code       INTEGER,
  signal          INTEGER,
  policy          TEXT NOT NULL,
  started_ns      INTEGER NOT NULL,
  ended_ns        INTEGER,
  host            TEXT NOT NULL,
  pid             INTEGER NOT NULL,
  rank            INTEGER NOT NULL,
  local_rank      INTEGER NOT NULL,
  world_size      INTEGER NOT NULL,
  restart         INTEGER NOT NULL,
  torch_version   TEXT NOT NULL,
  device          TEXT NOT NULL,
  steps           INTEGER NOT NULL DEFAULT 0,
  exact           INTEGER NOT NULL,
  invact_version  TEXT NOT NULL,
  secret_sha256   BLOB NOT NULL,
  last_seq        INTEGER NOT NULL DEFAULT 0,
  seen_ns         INTEGER NOT NULL,
  parent_told     INTEGER NOT NULL DEFAULT 0,
  peak_bytes      INTEGER NOT NULL DEFAULT 0,
  peak_held_bytes INTEGER NOT NULL DEFAULT 0,
  events_dropped  INTEGER NOT NULL DEFAULT 0,
  events_expired  INTEGER NOT NULL DEFAULT 0,
  oom_phase           TEXT,
  oom_step            INTEGER,
  oom_layer           TEXT,
  oom_requested_bytes INTEGER,
  oom_saved_bytes     INTEGER
) STRICT;
CREATE INDEX runs_by_start ON runs (started_ns, pk);
CREATE INDEX runs_by_job ON runs (job_id, rank);
CREATE INDEX runs_by_name ON runs (name);
CREATE INDEX runs_by_state ON runs (state);

CREATE TABLE batches (
  run       INTEGER NOT NULL REFERENCES runs (pk),
  seq       INTEGER NOT NULL,
  wall_ns   INTEGER NOT NULL,
  mono_ns   INTEGER NOT NULL,
  events    INTEGER NOT NULL,
  stored_ns INTEGER NOT NULL,
  PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE event_blobs (
  pk           INTEGER PRIMARY KEY,
  run          INTEGER NOT NULL REFERENCES runs (pk),
  seq          INTEGER NOT NULL,
  codebook     INTEGER NOT NULL,
  record_bytes INTEGER NOT NULL,
  first_step   INTEGER NOT NULL,
  last_step    INTEGER NOT NULL,
  records      BLOB NOT NULL,
  UNIQUE (run, seq)
) STRICT;

CREATE TABLE codebooks (
  codebook INTEGER NOT NULL,
  field    TEXT NOT NULL,
  number   INTEGER NOT NULL,
  name     TEXT NOT NULL,
  PRIMARY KEY (codebook, field, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE scopes (
  run   INTEGER NOT NULL REFERENCES runs (pk),
  id    INTEGER NOT NULL,
  name  TEXT NOT NULL,
  block INTEGER NOT NULL,
  PRIMARY KEY (run, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE sites (
  run          INTEGER NOT NULL REFERENCES runs (pk),
  id           INTEGER NOT NULL,
  scope        INTEGER NOT NULL,
  pack_ordinal INTEGER NOT NULL,
  op           TEXT NOT NULL,
  dtype        TEXT NOT NULL,
  category     TEXT NOT NULL,
  PRIMARY KEY (run, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE steps (
  run                       INTEGER NOT NULL REFERENCES runs (pk),
  step                      INTEGER NOT NULL,
  complete                  INTEGER NOT NULL,
  phase                     TEXT NOT NULL,
  baseline_bytes            INTEGER NOT NULL,
  held_bytes                INTEGER NOT NULL,
  side_bytes                INTEGER NOT NULL,
  begin_ns                  INTEGER NOT NULL,
  backward_begin_ns         INTEGER NOT NULL,
  end_ns                    INTEGER NOT NULL,
  allocated_before_bytes    INTEGER,
  allocated_instant_bytes   INTEGER,
  peak_allocated_bytes      INTEGER,
  peak_reserved_bytes       INTEGER,
  saved_at_peak_bytes       INTEGER,
  eliminated_at_peak_bytes  INTEGER,
  saved_tensors             INTEGER NOT NULL,
  device_forward_seconds    REAL,
  device_backward_seconds   REAL,
  activation_bytes          INTEGER NOT NULL,
  input_bytes               INTEGER NOT NULL,
  weight_copy_bytes         INTEGER NOT NULL,
  device_step_seconds       REAL,
  PRIMARY KEY (run, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE site_tables (
  run     INTEGER NOT NULL REFERENCES runs (pk),
  kind    TEXT NOT NULL,
  step                      INTEGER NOT NULL,
  complete                  INTEGER NOT NULL,
  phase                     TEXT NOT NULL,
  baseline_bytes            INTEGER NOT NULL,
  held_bytes                INTEGER NOT NULL,
  side_bytes                INTEGER NOT NULL,
  begin_ns                  INTEGER NOT NULL,
  backward_begin_ns         INTEGER NOT NULL,
  end_ns                    INTEGER NOT NULL,
  allocated_before_bytes    INTEGER,
  allocated_instant_bytes   INTEGER,
  peak_allocated_bytes      INTEGER,
  peak_reserved_bytes       INTEGER,
  saved_at_peak_bytes       INTEGER,
  eliminated_at_peak_bytes  INTEGER,
  saved_tensors             INTEGER NOT NULL,
  device_forward_seconds    REAL,
  device_backward_seconds   REAL,
  activation_bytes          INTEGER NOT NULL,
  input_bytes               INTEGER NOT NULL,
  weight_copy_bytes         INTEGER NOT NULL,
  device_step_seconds       REAL,
  PRIMARY KEY (run, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE site_rows (
  run            INTEGER NOT NULL REFERENCES runs (pk),
  kind           TEXT NOT NULL,
  site           INTEGER NOT NULL,
  baseline_bytes INTEGER NOT NULL,
  held_bytes     INTEGER NOT NULL,
  side_bytes     INTEGER NOT NULL,
  action         TEXT NOT NULL,
  declined       TEXT NOT NULL,
  shared         INTEGER NOT NULL,
  PRIMARY KEY (run, kind, site)
) STRICT, WITHOUT ROWID;

CREATE TABLE scope_rows (
  run         INTEGER NOT NULL REFERENCES runs (pk),
  kind        TEXT NOT NULL,
  scope       INTEGER NOT NULL,
  input_bytes INTEGER NOT NULL,
  calls       INTEGER NOT NULL,
  forward_ns  INTEGER NOT NULL,
  PRIMARY KEY (run, kind, scope)
) STRICT, WITHOUT ROWID;

CREATE TABLE warnings (
  run  INTEGER NOT NULL REFERENCES runs (pk),
  n    INTEGER NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (run, n),
  UNIQUE (run, text)
) STRICT, WITHOUT ROWID;

CREATE TABLE kernels (
  run       INTEGER NOT NULL REFERENCES runs (pk),
  op        TEXT NOT NULL,
  dtype     TEXT NOT NULL,
  device    TEXT NOT NULL,
  library   TEXT NOT NULL,
  error_max REAL,
  error_rms REAL,
  served    INTEGER NOT NULL,
  reason    TEXT NOT NULL,
  PRIMARY KEY (run, op, dtype, device, library)
) STRICT, WITHOUT ROWID;

CREATE TABLE exits (
  job_id      TEXT NOT NULL,
  pid         INTEGER NOT NULL,
  exit_code   INTEGER,
  signal      INTEGER,
  recorded_ns INTEGER NOT NULL,
  PRIMARY KEY (job_id, pid)
) STRICT, WITHOUT ROWID;

CREATE VIEW runs_v1 AS
SELECT id, name, job_id, state, NULLIF(end_reason, '') AS end_reason,
       exit_code, signal, policy, started_ns, ended_ns, host, pid, rank,
       local_rank, world_size, restart, torch_version, device, steps, exact,
       invact_version, NULLIF(peak_bytes, 0) AS peak_allocated_bytes,
       peak_held_bytes, events_dropped, events_expired
FROM runs;

CREATE VIEW steps_v1 AS
SELECT r.id AS run_id, s.step, s.complete, s.phase, s.baseline_bytes,
       s.held_bytes, s.side_bytes,
       s.baseline_bytes - s.held_bytes AS eliminated_bytes,
       s.activation_bytes, s.input_bytes, s.weight_copy_bytes,
       s.saved_tensors, s.begin_ns, NULLIF(s.backward_begin_ns, 0) AS
       backward_begin_ns, NULLIF(s.end_ns, 0) AS end_ns,
       s.allocated_before_bytes, s.allocated_instant_bytes,
       s.peak_allocated_bytes, s.peak_reserved_bytes, s.saved_at_peak_bytes,
       s.eliminated_at_peak_bytes, s.device_step_seconds,
       s.device_forward_seconds, s.device_backward_seconds
FROM steps AS s JOIN runs AS r ON r.pk = s.run;

CREATE VIEW layers_v1 AS
SELECT r.id AS run_id, t.kind AS which, t.step, c.name, s.op, s.pack_ordinal,
       s.dtype, s.category, w.baseline_bytes, w.held_bytes, w.side_bytes,
       w.baseline_bytes - w.held_bytes AS eliminated_bytes, w.action,
       NULLIF(w.declined, '') AS declined, w.shared
FROM site_rows AS w
JOIN runs AS r ON r.pk = w.run
JOIN site_tables AS t ON t.run = w.run AND t.kind = w.kind
LEFT JOIN sites AS s ON s.run = w.run AND s.id = w.site
LEFT JOIN scopes AS c ON c.run = w.run AND c.id = s.scope;

CREATE VIEW batches_v1 AS
SELECT r.id AS run_id, b.seq, b.wall_ns, b.mono_ns, b.stored_ns, b.events,
       e.pk IS NOT NULL AS events_kept
FROM batches AS b JOIN runs AS r ON r.pk = b.run
LEFT JOIN event_blobs AS e ON e.run = b.run AND e.seq = b.seq
)sql";

}  // namespace invact

#endif  // INVACT_DAEMON_STORE_SCHEMA_V1_H_
