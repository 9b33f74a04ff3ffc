#include "common/number.wgsl"

// 1 / (1 + e^−x) without overflow on either side.
fn sigmoid(x: Number) -> Number {
  let e = exp(-abs(x));
  return select(e, Number(1.0), x >= Number(0.0)) / (1.0 + e);
}

// The gate's activation and its derivative.
struct Activation { value: Number, slope: Number }
#if GELU
// x · ½(1 + tanh u) = x · σ(2u) with u = √(2/π)·(x + 0.044715·x³) (Hendrycks & Gimpel 2016). Beyond 20, where σ is 0 or 1
// to the last bit, u stays: WGSL does not say what an overflow gives.
fn activation(x: Number) -> Activation {
  let t = clamp(x, Number(-20.0), Number(20.0));
  let s = sigmoid(1.5957691216057308 * t * (1.0 + 0.044715 * t * t));
  return Activation(x * s, s + x * s * (1.0 - s) * 1.5957691216057308 * (1.0 + 0.134145 * t * t));
}
#else
// x · σ(x).
fn activation(x: Number) -> Activation {
  let s = sigmoid(x);
  return Activation(x * s, s * (1.0 + x * (1.0 - s)));
}
#endif
