// What a kernel computes element by element takes one number at a time, or four where everything comes in groups of four.
#if VECTORS
alias Number = vec4<f32>;
const NUMBER_ELEMENTS = 4u;
fn total(x: Number) -> f32 { return (x.x + x.y) + (x.z + x.w); }
#else
alias Number = f32;
const NUMBER_ELEMENTS = 1u;
fn total(x: Number) -> f32 { return x; }
#endif
