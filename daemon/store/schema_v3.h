// Version 3: comparisons of one job under several policies. Released: never
// edit, add a step in schema.cc instead.
//
// comparisons  one an `invact compare`. message: v1.Comparison, encoded, as it
//              is served; it outlives the runs that it was made of.
// comparison_policies
//              the same by policy, n its place in the table. run_id '': no run
//              began. baseline_bytes to step_seconds NULL: not known.
//              added_fraction: of the step's time, against `reference`; low and
//              high: its interval. loss_equal 0 | 1, NULL: not known.
#ifndef INVACT_DAEMON_STORE_SCHEMA_V3_H_
#define INVACT_DAEMON_STORE_SCHEMA_V3_H_

#include <string_view>

namespace invact {

inline constexpr std::string_view kSchemaV3 = R"sql(
CREATE TABLE comparisons (
  pk         INTEGER PRIMARY KEY,
  id         TEXT NOT NULL UNIQUE,
  name       TEXT NOT NULL,
  created_ns INTEGER NOT NULL,
  rounds     INTEGER NOT NULL,
  reference  TEXT NOT NULL,
  message    BLOB NOT NULL
) STRICT;

CREATE TABLE comparison_policies (
  comparison           INTEGER NOT NULL REFERENCES comparisons (pk),
  n                    INTEGER NOT NULL,
  policy               TEXT NOT NULL,
  run_id               TEXT NOT NULL,
  end_reason           TEXT NOT NULL,
  baseline_bytes       INTEGER,
  held_bytes           INTEGER,
  peak_allocated_bytes INTEGER,
  peak_reserved_bytes  INTEGER,
  step_seconds         REAL,
  added_fraction       REAL,
  added_fraction_low   REAL,
  added_fraction_high  REAL,
  loss_equal           INTEGER,
  gradients            TEXT NOT NULL,
  PRIMARY KEY (comparison, n)
) STRICT, WITHOUT ROWID;

CREATE VIEW comparisons_v1 AS
SELECT c.id AS comparison_id, c.name, c.created_ns, c.rounds,
       NULLIF(c.reference, '') AS reference, p.n, p.policy,
       NULLIF(p.run_id, '') AS run_id, NULLIF(p.end_reason, '') AS end_reason,
       p.baseline_bytes, p.held_bytes, p.peak_allocated_bytes,
       p.peak_reserved_bytes, p.step_seconds, p.added_fraction,
       p.added_fraction_low, p.added_fraction_high, p.loss_equal, p.gradients
FROM comparison_policies AS p JOIN comparisons AS c ON c.pk = p.comparison
)sql";

}  // namespace invact

#endif  // INVACT_DAEMON_STORE_SCHEMA_V3_H_
