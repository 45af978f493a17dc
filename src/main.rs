//! The `tollgate` binary: arguments, then the library.

fn main() {}
