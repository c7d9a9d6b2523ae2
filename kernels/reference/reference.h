// What the kernels are tested against: the activations in float64, straight
// from their definitions with libm's functions. Shares no helper and no
// constant with the kernels.
#ifndef INVACT_KERNELS_REFERENCE_REFERENCE_H_
#define INVACT_KERNELS_REFERENCE_REFERENCE_H_

#ifdef __cplusplus
extern "C" {
#endif

enum invact_reference_function {
  INVACT_REFERENCE_GELU = 0,
  INVACT_REFERENCE_GELU_TANH = 1,
  INVACT_REFERENCE_SILU = 2
};

/* f(x) and f'(x), within a few float64 last places; limits at infinity; NaN for
   NaN. */
double invact_reference_value(int function, double x);
double invact_reference_slope(int function, double x);
/* Where f is lowest. */
double invact_reference_minimum(int function);
/* The x left (or right) of the minimum with f(x) == y, by bisection; the
   minimum itself for y <= f(minimum), -inf for y == 0 on the left. */
double invact_reference_inverse(int function, double y, int left);

#ifdef __cplusplus
}
#endif

#endif /* INVACT_KERNELS_REFERENCE_REFERENCE_H_ */
