// Version 6: single changes of device memory (docs/memory_events.md). Released:
// never edit, add a step in schema.cc instead.
//
// memory_blobs  records of record_bytes (proto/memory_record.h), packed, of one
//               batch or of several one after another: first_seq to seq; small
//               ones are joined with those before them. ranges, layers: what a
//               curve of them needs (memory_summary.h); levels: what was alive
//               before the first of them (memory_levels.h). The table of
//               version 5 was never written to.
// memory_next   how many memory records of a run came so far, with those that
//               are known to be lost.
#ifndef INVACT_DAEMON_STORE_SCHEMA_V6_H_
#define INVACT_DAEMON_STORE_SCHEMA_V6_H_

#include <string_view>

namespace invact {

inline constexpr std::string_view kSchemaV6 = R"sql(
DROP VIEW batches_v1;
DROP TABLE memory_blobs;
CREATE TABLE memory_blobs (
  pk           INTEGER PRIMARY KEY,
  run          INTEGER NOT NULL REFERENCES runs (pk),
  first_seq    INTEGER NOT NULL,
  seq          INTEGER NOT NULL,
  codebook     INTEGER NOT NULL,
  record_bytes INTEGER NOT NULL,
  events       INTEGER NOT NULL,
  first_step   INTEGER NOT NULL,
  last_step    INTEGER NOT NULL,
  ranges       BLOB NOT NULL,
  layers       BLOB NOT NULL,
  levels       BLOB NOT NULL,
  records      BLOB NOT NULL,
  UNIQUE (run, seq)
) STRICT;
CREATE TABLE memory_next (
  run  INTEGER PRIMARY KEY REFERENCES runs (pk),
  next INTEGER NOT NULL
) STRICT;

CREATE VIEW batches_v1 AS
SELECT r.id AS run_id, b.seq, b.wall_ns, b.mono_ns, b.stored_ns, b.events,
       e.pk IS NOT NULL AS events_kept, b.memory_events,
       EXISTS (SELECT 1 FROM memory_blobs AS m WHERE m.run = b.run
               AND m.seq >= b.seq AND m.first_seq <= b.seq)
       AND b.memory_events > 0 AS memory_events_kept
FROM batches AS b JOIN runs AS r ON r.pk = b.run
LEFT JOIN event_blobs AS e ON e.run = b.run AND e.seq = b.seq
)sql";

}  // namespace invact

#endif  // INVACT_DAEMON_STORE_SCHEMA_V6_H_
