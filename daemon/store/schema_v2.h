// Version 2: what a calibration found out about each kernel, and the view of
// it. Released: never edit, add a step in schema.cc instead.
//
// runs         kernels_told: the relay speaks a protocol that tells of kernels,
//              so that none means that none was calibrated.
// kernels      one an op, dtype and device. Errors of |f'(decoded) - f'(x)|,
//              the largest and the root mean square for x ~ N(0, 1); stated: by
//              the library; floor: the least that the stored bits allow; error:
//              measured. NULL: not known, or not finite. side_bits: an element.
//              detail: what failed, '' where served.
#ifndef INVACT_DAEMON_STORE_SCHEMA_V2_H_
#define INVACT_DAEMON_STORE_SCHEMA_V2_H_

#include <string_view>

namespace invact {

inline constexpr std::string_view kSchemaV2 = R"sql(
ALTER TABLE runs ADD COLUMN kernels_told INTEGER NOT NULL DEFAULT 0;

ALTER TABLE kernels ADD COLUMN side_bits INTEGER;
ALTER TABLE kernels ADD COLUMN stated_max REAL;
ALTER TABLE kernels ADD COLUMN stated_rms REAL;
ALTER TABLE kernels ADD COLUMN floor_max REAL;
ALTER TABLE kernels ADD COLUMN floor_rms REAL;
ALTER TABLE kernels ADD COLUMN detail TEXT NOT NULL DEFAULT '';

CREATE VIEW kernels_v1 AS
SELECT r.id AS run_id, k.op, k.dtype, k.device, k.library, k.side_bits,
       k.floor_max, k.floor_rms, k.stated_max, k.stated_rms, k.error_max,
       k.error_rms, k.served, NULLIF(k.reason, '') AS reason,
       NULLIF(k.detail, '') AS detail
FROM kernels AS k JOIN runs AS r ON r.pk = k.run
)sql";

}  // namespace invact

#endif  // INVACT_DAEMON_STORE_SCHEMA_V2_H_
