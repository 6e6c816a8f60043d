//! The simulated caller.
