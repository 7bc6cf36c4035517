//! The `smelt` program.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: smelt_alloc::MiMalloc = smelt_alloc::MiMalloc;

fn main() -> ExitCode {
    smelt_alloc::keep_freed_memory();
    let code = smelt::cli::main();
    smelt_alloc::leave_memory();
    code
}
