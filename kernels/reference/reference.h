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
  INVACT_REFERENCE_SILU = 2,
  INVACT_REFERENCE_MISH = 3,
  INVACT_REFERENCE_HARDSWISH = 4,
  INVACT_REFERENCE_SOFTPLUS = 5,      /* beta 1, threshold 20 */
  INVACT_REFERENCE_SOFTPLUS_3_30 = 6, /* beta 3, threshold 30 */
  INVACT_REFERENCE_LOGSIGMOID = 7,
  INVACT_REFERENCE_HARDSIGMOID = 8,
  INVACT_REFERENCE_LEAKY_RELU_FALLING = 9 /* slope -1/8 left of 0 */
};

/* f(x) and f'(x), within a few float64 last places; limits at infinity; NaN for
   NaN. At a kink, and of leaky ReLU at NaN, f' is what PyTorch's backward
   takes. */
double invact_reference_value(int function, double x);
double invact_reference_slope(int function, double x);
/* Where f is lowest; NaN where f only rises. */
double invact_reference_minimum(int function);
/* The x left (or right) of the minimum, or the only x, with f(x) == y, by
   bisection; the minimum itself for y <= f(minimum), -inf for y == 0 on the
   left. */
double invact_reference_inverse(int function, double y, int left);

#ifdef __cplusplus
}
#endif

#endif /* INVACT_KERNELS_REFERENCE_REFERENCE_H_ */
