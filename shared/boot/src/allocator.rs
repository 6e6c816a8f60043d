use mimalloc::MiMalloc;

/// Of every service that links this crate. A request to the broker is some hundred small allocations, which the C library's
/// allocator spends more time on than anything else in the process does (`services/edge/design.md`).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;
