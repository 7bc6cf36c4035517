//! The program's allocator: mimalloc, told to keep freed memory for a while.
//!
//! A run frees and takes gigabytes in buffers that live for a moment. Given back to the system after
//! each, as is mimalloc's custom, they cost page faults that were a quarter of a run's time. A crate
//! of its own because setting the option is a foreign function, and smelt itself has no unsafe code.

pub use mimalloc::MiMalloc;

/// How long freed memory is kept, in milliseconds.
const KEPT_MS: std::ffi::c_long = 10_000;

/// `mi_option_purge_delay` in mimalloc.h, which the bindings do not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Keeps freed memory from now on. To be called first of all, before there are other threads.
pub fn keep_freed_memory() {
    set_purge_delay(KEPT_MS);
}

/// Leaves it to the system to take all memory when the process ends. To be called last of all: mimalloc would give
/// back what is free piece by piece, a tenth of a second for a gigabyte.
pub fn leave_memory() {
    set_purge_delay(-1);
}

fn set_purge_delay(milliseconds: std::ffi::c_long) {
    // SAFETY: a setter of one aligned word that is not locked. `main` calls it before there are other threads and when
    // they have ended; one that a disk still holds up reads the old word or the new.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, milliseconds) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number is that of the option in the mimalloc that is linked: it has this option's default.
    #[test]
    fn the_option_is_the_purge_delay() {
        // SAFETY: a getter of one integer.
        let delay = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert_eq!(delay(), 1000);
        keep_freed_memory();
        assert_eq!(delay(), KEPT_MS);
    }
}
