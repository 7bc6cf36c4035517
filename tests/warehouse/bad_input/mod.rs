//! What people, files and disks do wrong. Each test says what went wrong, asserts the exit code and
//! the place or name that is told, and that nothing was lost or published.

mod definitions;
mod extracts;
mod surroundings;
