// Version 4: digests of the gradients and the losses of a job's steps, and what
// a comparison found out from them. Released: never edit, add a step in
// schema.cc instead.
//
// parameters   what gradients were accumulated for, by the job's own number.
// digests      one message a step and batch: v1.StepDigests, encoded. They are
//              of the size of the job's parameters' number times its steps, and
//              exist only where they were asked for.
// comparison_policies
//              loss_first_step, gradients_first_step: the first step that
//              differs from the reference; NULL: none does, or nothing is
//              known.
#ifndef INVACT_DAEMON_STORE_SCHEMA_V4_H_
#define INVACT_DAEMON_STORE_SCHEMA_V4_H_

#include <string_view>

namespace invact {

inline constexpr std::string_view kSchemaV4 = R"sql(
CREATE TABLE parameters (
  run  INTEGER NOT NULL REFERENCES runs (pk),
  id   INTEGER NOT NULL,
  name TEXT NOT NULL,
  type TEXT NOT NULL,
  PRIMARY KEY (run, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE digests (
  pk      INTEGER PRIMARY KEY,
  run     INTEGER NOT NULL REFERENCES runs (pk),
  step    INTEGER NOT NULL,
  message BLOB NOT NULL
) STRICT;
CREATE INDEX digests_by_run ON digests (run, step);

ALTER TABLE comparison_policies ADD COLUMN loss_first_step INTEGER;
ALTER TABLE comparison_policies ADD COLUMN gradients_first_step INTEGER;

DROP VIEW comparisons_v1;
CREATE VIEW comparisons_v1 AS
SELECT c.id AS comparison_id, c.name, c.created_ns, c.rounds,
       NULLIF(c.reference, '') AS reference, p.n, p.policy,
       NULLIF(p.run_id, '') AS run_id, NULLIF(p.end_reason, '') AS end_reason,
       p.baseline_bytes, p.held_bytes, p.peak_allocated_bytes,
       p.peak_reserved_bytes, p.step_seconds, p.added_fraction,
       p.added_fraction_low, p.added_fraction_high, p.loss_equal, p.gradients,
       p.loss_first_step, p.gradients_first_step
FROM comparison_policies AS p JOIN comparisons AS c ON c.pk = p.comparison
)sql";

}  // namespace invact

#endif  // INVACT_DAEMON_STORE_SCHEMA_V4_H_
