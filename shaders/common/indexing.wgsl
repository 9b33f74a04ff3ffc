// Flat index of an invocation in a grid that may be folded into two dimensions (see grid() in kernel.ts).
fn workgroup_index(id: vec3<u32>, count: vec3<u32>) -> u32 {
  return id.y * count.x + id.x;
}
