//! The allocator of every process.
//!
//! An HTTP request allocates futures of a few kilobytes and frees them on the same thread some
//! milliseconds later. The C library's allocator takes its slow path for blocks over a kilobyte.

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;
